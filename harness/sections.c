/* sections.c - the field tables of "train" and "eval". */
#include "sections.h"

#define TRAIN(member) offsetof(train_config, member)
static const field train[] = {
    {"steps", FIELD_INT, TRAIN(steps), "1000", 0, 1e12,
     .help = "optimizer steps; ignored where epochs is given"},
    {"epochs", FIELD_REAL, TRAIN(epochs), "0", 0, 1e9,
     .help = "passes over a finite training set; 0: use steps"},
    {"batch", FIELD_INT, TRAIN(batch), "64", 1, 1 << 20, .help = "sequences per step"},
    {"examples", FIELD_INT, TRAIN(examples), "0", 0, 1e12,
     .help = "size of a finite training set, reshuffled every epoch; 0: never repeats"},
    {"lr", FIELD_REAL, TRAIN(lr), "1e-3", 0, 1e3, .help = "peak learning rate", .per_run = true},
    {"wd", FIELD_REAL, TRAIN(wd), "0.1", 0, 1e3, .help = "decoupled weight decay", .per_run = true},
    {"decay", FIELD_CHOICE, TRAIN(decay), "matrices", .choices = "matrices|all",
     .help = "which parameters decay"},
    {"beta1", FIELD_REAL, TRAIN(beta1), "0.9", 0, 0.99999, .help = "AdamW first moment"},
    {"beta2", FIELD_REAL, TRAIN(beta2), "0.95", 0, 0.9999999, .help = "AdamW second moment"},
    {"eps", FIELD_REAL, TRAIN(eps), "1e-8", 1e-30, 1, .help = "AdamW denominator"},
    {"clip", FIELD_REAL, TRAIN(clip), "1", 0, 1e9,
     .help = "largest global gradient norm; 0: no clipping"},
    {"schedule", FIELD_CHOICE, TRAIN(schedule), "cosine", .choices = "constant|cosine|linear",
     .help = "shape of the learning rate after warm-up"},
    {"schedule_by", FIELD_CHOICE, TRAIN(schedule_by), "step", .choices = "step|epoch",
     .help = "how often the schedule moves; epoch needs train.examples"},
    {"warmup", FIELD_REAL, TRAIN(warmup), "0.1", 0, 1,
     .help = "share of all steps in which the learning rate rises linearly"},
    {"min_lr", FIELD_REAL, TRAIN(min_lr), "0", 0, 1,
     .help = "end of the schedule as a share of the peak"},
    {"seed", FIELD_INT, TRAIN(seed), "0", 0, 9e15, .help = "seed of weights and dropout",
     .per_run = true},
    {"data_seed", FIELD_INT, TRAIN(data_seed), "-1", -1, 9e15,
     .help = "seed of the data; -1: the same as seed", .per_run = true},
    {"stop_at", FIELD_REAL, TRAIN(stop_at), "0", 0, 1,
     .help = "stop early when validation token accuracy reaches this; 0: never"},
    {"eval_every", FIELD_INT, TRAIN(eval_every), "0", 0, 1e12,
     .help = "steps between validations; 0: ten of them, evenly spaced"},
    {"numerics", FIELD_CHOICE, TRAIN(numerics), "strict", .choices = "strict|fp32|tf32|bf16",
     .help =
         "matrix products: strict: own kernels, packed runs equal runs alone; GPU only, cuBLAS: "
         "fp32, tf32 or bf16 operands"},
    {"log_every", FIELD_INT, TRAIN(log_every), "50", 1, 1e12,
     .help = "steps between logged training losses (means over them)", .no_id = true},
    {"threads", FIELD_INT, TRAIN(threads), "1", 1, 64,
     .help = "processor threads of one run; the result does not depend on it", .no_id = true},
    {"checkpoint_s", FIELD_REAL, TRAIN(checkpoint_s), "60", 0, 1e6,
     .help = "seconds between checkpoints; 0: after every step", .no_id = true},
    {"max_minutes", FIELD_REAL, TRAIN(max_minutes), "0", 0, 1e6,
     .help = "give up on a run after this long; 0: never", .no_id = true},
};
const field_table train_fields = FIELD_TABLE(train);

#define EVAL(member) offsetof(eval_config, member)
static const field eval[] = {
    {"lengths", FIELD_INTS, EVAL(lengths), "[]", 1, 1 << 24, .help = "test at these lengths too"},
    {"examples", FIELD_INT, EVAL(examples), "0", 0, 1e9,
     .help = "validation and test examples each; 0: 1000, or the whole split of a corpus"},
};
const field_table eval_fields = FIELD_TABLE(eval);
