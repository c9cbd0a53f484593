-- schema.sql - the results database of mixgrid, version 2. SQLite 3.37 or newer (STRICT tables).
--
-- One process writes it (results/store.h); everyone else reads. All of it can be rebuilt from the
-- journal folder.
-- Documented with example queries in results/README.md.
-- Times are Unix seconds and durations seconds; both are REAL and end in _s.
-- A value that is not finite is stored as NULL with flag 'nan', 'inf' or '-inf'.

PRAGMA application_id = 1835628647; -- "mixg"
PRAGMA user_version = 2;

-- One run = one resolved configuration; its id is the SHA-256 of that configuration, so that two
-- experiments with the same cell share the run.
CREATE TABLE run (
    id              TEXT PRIMARY KEY,
    config          TEXT NOT NULL CHECK (json_valid(config)), -- flat: {"model.d_model":64,...}
    task            TEXT,                                     -- task.name
    mixer           TEXT,                                     -- model.mixer
    seed            INTEGER,                                  -- train.seed, or seed
    state           TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'running', 'done',
                        'failed', 'diverged', 'timeout', 'preempted', 'cancelled')),
    params          INTEGER,                                  -- trained numbers
    state_size      REAL,                                     -- kept per sequence, numbers
    forward_flops_per_token REAL,                             -- since version 2
    flops_per_token REAL,                                     -- forward and backward
    mem_bytes       REAL,                                     -- planned, exact
    wall_s          REAL NOT NULL DEFAULT 0,                  -- sum over attempts
    attempts        INTEGER NOT NULL DEFAULT 0,
    message         TEXT NOT NULL DEFAULT ''                  -- why it ended as it did, or ''
) STRICT, WITHOUT ROWID;
CREATE INDEX run_by_task ON run (task, mixer, seed);

-- The configuration, one row per setting. number: for numbers and booleans (0, 1). text: always;
-- strings without quotes, lists as JSON.
CREATE TABLE run_param (
    run    TEXT NOT NULL REFERENCES run (id),
    key    TEXT NOT NULL,
    number REAL,
    text   TEXT,
    PRIMARY KEY (run, key)
) STRICT, WITHOUT ROWID;

-- One experiment = one grid file. spec: everything a report needs (grid text, axes, select,
-- published numbers, report settings).
CREATE TABLE experiment (
    name TEXT PRIMARY KEY,
    file TEXT NOT NULL,
    spec TEXT NOT NULL CHECK (json_valid(spec))
) STRICT, WITHOUT ROWID;

-- The cells of a grid in its order. axes: flat object of what varies in this grid; variant: the
-- same without the seed, equal for the runs that are averaged.
CREATE TABLE cell (
    experiment TEXT NOT NULL REFERENCES experiment (name),
    position   INTEGER NOT NULL,
    run        TEXT NOT NULL REFERENCES run (id),
    label      TEXT NOT NULL,
    axes       TEXT NOT NULL CHECK (json_valid(axes)),
    variant    TEXT NOT NULL CHECK (json_valid(variant)),
    PRIMARY KEY (experiment, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX cell_by_run ON cell (run);

-- Curves. Read them through the view `metric`; a point costs about 22 bytes because the run id and
-- the names are kept once per series.
CREATE TABLE series (
    number INTEGER PRIMARY KEY,
    run    TEXT NOT NULL REFERENCES run (id),
    split  TEXT NOT NULL,            -- 'train', 'val', 'test'
    slice  TEXT NOT NULL DEFAULT '', -- '' (all), 'length=256', 'gap=8', ...
    name   TEXT NOT NULL,            -- 'loss', 'token_acc', ...
    UNIQUE (run, split, slice, name)
) STRICT;
CREATE TABLE point (
    series INTEGER NOT NULL REFERENCES series (number),
    step   INTEGER NOT NULL,
    value  REAL,
    flag   TEXT CHECK (flag IN ('nan', 'inf', '-inf')),
    PRIMARY KEY (series, step),
    CHECK ((value IS NULL) = (flag IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE VIEW metric AS
SELECT s.run, s.split, s.slice, s.name, p.step, p.value, p.flag
FROM series AS s JOIN point AS p ON p.series = s.number;

-- The values that tables use: of the checkpoint chosen on val.
CREATE TABLE final (
    run   TEXT NOT NULL REFERENCES run (id),
    split TEXT NOT NULL,
    slice TEXT NOT NULL DEFAULT '',
    name  TEXT NOT NULL,
    value REAL,
    flag  TEXT CHECK (flag IN ('nan', 'inf', '-inf')),
    PRIMARY KEY (run, split, slice, name),
    CHECK ((value IS NULL) = (flag IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- Hash of all parameters after a step, 16 hex digits: what `mixgrid verify` compares.
CREATE TABLE param_hash (
    run  TEXT NOT NULL REFERENCES run (id),
    step INTEGER NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (run, step)
) STRICT, WITHOUT ROWID;

-- Code, compiler and machine of an attempt; the same surroundings are stored once.
CREATE TABLE environment (
    sha256 TEXT PRIMARY KEY,
    json   TEXT NOT NULL CHECK (json_valid(json))
) STRICT, WITHOUT ROWID;

CREATE TABLE attempt (
    run          TEXT NOT NULL REFERENCES run (id),
    number       INTEGER NOT NULL,             -- 1, 2, ...
    state        TEXT NOT NULL DEFAULT 'running',
    start_s      REAL,                         -- Unix seconds; NULL: its worker never started
    wall_s       REAL NOT NULL DEFAULT 0,
    resumed_from INTEGER NOT NULL DEFAULT 0,   -- step of the checkpoint it went on from
    step         INTEGER,                      -- last step when it ended
    exit_code    INTEGER,                      -- NULL: it ended by itself and said so
    signal       INTEGER,                      -- NULL: none
    message      TEXT NOT NULL DEFAULT '',
    log_tail     TEXT NOT NULL DEFAULT '',     -- last 4 KB of stderr of a worker that died
    environment  TEXT REFERENCES environment (sha256),
    PRIMARY KEY (run, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempt_by_environment ON attempt (environment);

-- What happened, in order of writing. run NULL: an event of the sweep.
CREATE TABLE event (
    number INTEGER PRIMARY KEY,
    run    TEXT REFERENCES run (id),
    time_s REAL NOT NULL,
    what   TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX event_by_run ON event (run);

-- Files a run left behind (checkpoints, exported weights).
CREATE TABLE artifact (
    run    TEXT NOT NULL REFERENCES run (id),
    path   TEXT NOT NULL,
    kind   TEXT NOT NULL,
    bytes  INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (run, path)
) STRICT, WITHOUT ROWID;

-- Speed of kernels and models on one machine (`mixgrid bench`).
CREATE TABLE bench (
    number      INTEGER PRIMARY KEY,
    time_s      REAL NOT NULL,
    name        TEXT NOT NULL,
    shape       TEXT NOT NULL,
    backend     TEXT NOT NULL,
    value       REAL NOT NULL,
    unit        TEXT NOT NULL,
    environment TEXT REFERENCES environment (sha256)
) STRICT;
CREATE INDEX bench_by_environment ON bench (environment);

-- How far each journal has been read. fingerprint: SHA-256 of the first and last bytes of the part
-- that was read; when it differs, another journal took the place and is read from the start.
CREATE TABLE import (
    run         TEXT PRIMARY KEY REFERENCES run (id),
    offset      INTEGER NOT NULL,
    fingerprint TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row per run, with the experiments it belongs to and where its last attempt stood.
CREATE VIEW v_runs AS
SELECT r.id AS run, r.task, r.mixer, r.seed, r.state, r.params, r.state_size,
       r.forward_flops_per_token, r.flops_per_token, r.mem_bytes, r.wall_s, r.attempts, a.start_s, a.step, a.exit_code, a.signal, r.message,
       (SELECT group_concat(name, ' ')
        FROM (SELECT DISTINCT experiment AS name FROM cell WHERE cell.run = r.id ORDER BY 1))
           AS experiments,
       a.environment, r.config
FROM run AS r
LEFT JOIN attempt AS a
    ON a.run = r.id AND a.number = (SELECT max(number) FROM attempt WHERE run = r.id);

-- One row per run and final value. Join run_param or cell for any other setting.
CREATE VIEW v_final AS
SELECT f.run, r.task, r.mixer, r.seed, r.state, f.split, f.slice, f.name, f.value, f.flag
FROM final AS f JOIN run AS r ON r.id = f.run;

-- One row per experiment, variant (all axes but the seed) and final value. runs: seeds of the
-- variant; failed: of these, failed, diverged or timed out; n: finite values that were averaged.
CREATE VIEW v_by_seed AS
SELECT c.experiment, c.variant, min(c.position) AS position, r.task, r.mixer,
       f.split, f.slice, f.name, g.runs, g.failed, count(f.value) AS n,
       avg(f.value) AS mean, min(f.value) AS min, max(f.value) AS max
FROM cell AS c
JOIN run AS r ON r.id = c.run
JOIN final AS f ON f.run = c.run
JOIN (SELECT c2.experiment, c2.variant, count(*) AS runs,
             sum(r2.state IN ('failed', 'diverged', 'timeout')) AS failed
      FROM cell AS c2 JOIN run AS r2 ON r2.id = c2.run
      GROUP BY c2.experiment, c2.variant) AS g
    ON g.experiment = c.experiment AND g.variant = c.variant
GROUP BY c.experiment, c.variant, f.split, f.slice, f.name;
