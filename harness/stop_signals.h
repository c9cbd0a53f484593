/* stop_signals.h - SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2: they ask a sweep to stop.
 *
 * The scheduler counts them and passes them on (schedule.c); a worker has its own way (worker.h).
 * One count for the process, as signals are its own, too. */
#pragma once

/* From now on they are counted, and a broken pipe is an error of the write. A SIGHUP that nohup has
 * switched off stays so. May be called again. */
void stop_signals_catch(void);
/* In a fork: they do again what they did before, those that are ignored excepted. */
void stop_signals_let_go(void);

void stop_signals_reset(void);
int stop_signals_count(void);
/* As if one had come. */
void stop_signals_add(void);
