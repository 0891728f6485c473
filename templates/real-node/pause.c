/* PID 1 of every pod: reaps orphans and ends on a signal. Static, so that it needs no base image. */
#include <signal.h>
#include <unistd.h>

static void stop(int number)
{
    (void)number;
    _exit(0);
}

int main(void)
{
    struct sigaction on_stop = {.sa_handler = stop};
    struct sigaction on_child = {.sa_handler = SIG_IGN, .sa_flags = SA_NOCLDWAIT};

    sigaction(SIGINT, &on_stop, NULL);
    sigaction(SIGTERM, &on_stop, NULL);
    sigaction(SIGCHLD, &on_child, NULL);
    for (;;)
        pause();
}
