/* stop_signals.c - see stop_signals.h. */
#include "stop_signals.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

static const int stop_signal[] = {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
enum { N_STOP_SIGNALS = sizeof stop_signal / sizeof *stop_signal };
static volatile sig_atomic_t signals;

static void on_signal(int number) {
    (void)number;
    signals++;
}

void stop_signals_catch(void) {
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < N_STOP_SIGNALS; i++) {
        struct sigaction before;
        sigaction(stop_signal[i], NULL, &before);
        const bool ignored = stop_signal[i] == SIGHUP && before.sa_handler == SIG_IGN; /* nohup */
        if (!ignored) sigaction(stop_signal[i], &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
}

void stop_signals_let_go(void) {
    for (int i = 0; i < N_STOP_SIGNALS; i++)
        if (signal(stop_signal[i], SIG_DFL) == SIG_IGN) signal(stop_signal[i], SIG_IGN);
}

void stop_signals_reset(void) { signals = 0; }
int stop_signals_count(void) { return signals; }
void stop_signals_add(void) { signals++; }
