/*
 * clockshift: an LD_PRELOAD library that shifts the wall clock of one process, and nothing
 * else: clocks that count from boot stay as they are, as when somebody sets a machine's date.
 *
 *   CLOCKSHIFT_FILE  a file of 8 bytes, the shift in milliseconds (native endian, signed). It
 *                    is mapped, so writing to it moves the clock of the running process.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define SECOND_NS 1000000000L
/* Times before this one (2001) are of a clock that counts from boot. */
#define WALL_SECONDS_MIN 1000000000L

static const volatile int64_t *shift_ms;

__attribute__((constructor)) static void map_shift(void) {
    const char *path = getenv("CLOCKSHIFT_FILE");
    if (!path)
        return;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *page = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
    /* A test whose clocks are silently right proves nothing. */
    if (page == MAP_FAILED) {
        perror("clockshift: CLOCKSHIFT_FILE");
        abort();
    }
    close(fd);
    shift_ms = page;
}

static void add_ms(struct timespec *time, int64_t ms) {
    time->tv_sec += ms / 1000;
    time->tv_nsec += ms % 1000 * 1000000L;
    if (time->tv_nsec >= SECOND_NS) {
        time->tv_sec++;
        time->tv_nsec -= SECOND_NS;
    } else if (time->tv_nsec < 0) {
        time->tv_sec--;
        time->tv_nsec += SECOND_NS;
    }
}

EXPORT int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && shift_ms && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        add_ms(time, *shift_ms);
    return result;
}

EXPORT int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

EXPORT time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

/* Its deadline comes from the shifted clock; the kernel waits by its own. */
EXPORT int pthread_cond_timedwait(pthread_cond_t *restrict condition,
                                  pthread_mutex_t *restrict mutex,
                                  const struct timespec *restrict deadline) {
    struct timespec until = *deadline;
    if (until.tv_sec < WALL_SECONDS_MIN)
        return pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &until);
    if (shift_ms)
        add_ms(&until, -*shift_ms);
    return pthread_cond_clockwait(condition, mutex, CLOCK_REALTIME, &until);
}
