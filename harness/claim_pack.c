/* claim_pack.c - see claim_pack.h. */
#include "claim_pack.h"

#include "results/claim.h"

/* Preempted and running: by a scheduler that was stopped or killed, as its claim is gone. */
static bool is_over(run_state s) {
    return s != RUN_PENDING && s != RUN_RUNNING && s != RUN_PREEMPTED && s != RUN_CANCELLED;
}

status claim_pack_take(pack *p, pack *busy, pack *ended, arena *a, const claim_folder *f,
                       error *e) {
    pack ours = pack_like(p, p->n, a);
    *busy = pack_like(p, p->n, a);
    *ended = pack_like(p, p->n, a);
    for (int i = 0; i < p->n && !e->code; i++) {
        const char *id = p->cell[i]->config->id;
        store_run now;
        if (!claim_take(f->claims, id)) {
            pack_add(busy, p, i);
            continue;
        }
        /* Only now, as the journal may have grown until the claim was granted. */
        if (store_import(f->store, f->journals, id, e) || store_run_get(f->store, id, &now, e))
            break;
        /* Its last attempt may have been under way when the pack was planned. */
        if (now.attempts < p->attempt[i] && (p->again || !run_has_result(now.state))) {
            pack_add(&ours, p, i);
        } else if (is_over(now.state)) {
            pack_add(ended, p, i);
            claim_release(f->claims, id);
        } else {
            pack_add(&ours, p, i);
            ours.attempt[ours.n - 1] = now.attempts + 1;
        }
    }
    *p = ours;
    return e->code;
}

void claim_pack_release(const pack *p, const claim_folder *f) {
    for (int i = 0; i < p->n; i++) claim_release(f->claims, p->cell[i]->config->id);
}
