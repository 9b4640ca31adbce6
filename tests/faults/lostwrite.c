/*
 * lostwrite: an LD_PRELOAD library that keeps, beside a data folder, a mirror of it that
 * holds only what was made durable. Killing the process and going on from the mirror is a
 * power cut: every byte that was never synced is gone.
 *
 *   LOSTWRITE_ROOT         the data folder (absolute)
 *   LOSTWRITE_MIRROR       the mirror (absolute, on the same machine, outside the root)
 *   LOSTWRITE_IGNORE_SYNC  comma separated; a sync of a path that contains one of these
 *                          parts (of a folder: with a slash at its end) returns success
 *                          and makes nothing durable. It plants the bug that a lost-write
 *                          test must find.
 *   LOSTWRITE_SYNC_US      every sync waits so many microseconds first (a slow disk)
 *   LOSTWRITE_REAL_SYNC    when set, the real sync is done too (not needed: a killed
 *                          process leaves its page cache behind)
 *
 * The model:
 *   - content: fsync and fdatasync of a file bring the mirror up to the file's content;
 *     written ranges are tracked, so only those are copied. sync_file_range is no
 *     durability. A file that existed when the process first opened it counts as unsynced.
 *   - names: durable by fsync of the directory (which makes the mirror's directory equal
 *     to the real one: creations, renames, links, removals), or by fsync of a new file
 *     itself, as on ext4 and xfs. A rename or an unlink whose directory is never synced is
 *     lost with the power.
 *   - the rename of a directory is durable once either parent, or anything inside it, is
 *     synced.
 *   - not modelled: mmap writes, syncfs, io_uring, O_DSYNC. RocksDB as we set it up and
 *     Rust's std use none of them.
 *
 * Content of an inode lives in MIRROR/.lostwrite/<id>; names in the mirror are hard links
 * to it. MIRROR/.lostwrite is not part of what survives.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define FDS_MAX 65536
#define RANGES_MAX 32
#define BUCKETS 4096
#define COPY_BYTES (256 * 1024)

typedef struct {
    int64_t start, end;
} range_t;

/* One file of the data folder. Never freed: a descriptor may still point here. */
typedef struct inode {
    dev_t dev;
    ino_t ino;
    uint64_t id;
    bool directory;
    bool dropped; /* its last name is gone */
    range_t dirty[RANGES_MAX];
    int dirty_count;
    pthread_mutex_t syncing;
    struct inode *next;
} inode_t;

typedef struct renamed {
    char from[PATH_MAX], to[PATH_MAX];
    struct renamed *next;
} renamed_t;

static char root[PATH_MAX], mirror[PATH_MAX], ignore_sync[PATH_MAX];
static size_t root_len, mirror_len;
static bool enabled, real_sync;
static long sync_us;
static _Atomic(inode_t *) by_fd[FDS_MAX];
static inode_t *buckets[BUCKETS];
static uint64_t next_id = 1;
static renamed_t *renamed; /* directory renames that are not durable yet, oldest first */
/* `table` guards the maps and the dirty ranges; `names` guards the mirror's directories. */
static pthread_mutex_t table = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t names = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

#define REAL(name) static __typeof__(name) *real_##name
REAL(open);
REAL(openat);
REAL(write);
REAL(pwrite64);
REAL(writev);
REAL(pwritev64);
REAL(ftruncate64);
REAL(truncate64);
REAL(fallocate64);
REAL(posix_fallocate64);
REAL(copy_file_range);
REAL(sendfile64);
REAL(fsync);
REAL(fdatasync);
REAL(close);
REAL(dup);
REAL(dup2);
REAL(dup3);
static int (*real_fcntl)(int, int, ...);
REAL(rename);
REAL(renameat);
REAL(renameat2);
REAL(unlink);
REAL(unlinkat);
REAL(remove);
REAL(link);
REAL(linkat);

static void init(void) {
#define LOAD(name) real_##name = dlsym(RTLD_NEXT, #name)
    LOAD(open);
    LOAD(openat);
    LOAD(write);
    LOAD(pwrite64);
    LOAD(writev);
    LOAD(pwritev64);
    LOAD(ftruncate64);
    LOAD(truncate64);
    LOAD(fallocate64);
    LOAD(posix_fallocate64);
    LOAD(copy_file_range);
    LOAD(sendfile64);
    LOAD(fsync);
    LOAD(fdatasync);
    LOAD(close);
    LOAD(dup);
    LOAD(dup2);
    LOAD(dup3);
    real_fcntl = dlsym(RTLD_NEXT, "fcntl64");
    LOAD(rename);
    LOAD(renameat);
    LOAD(renameat2);
    LOAD(unlink);
    LOAD(unlinkat);
    LOAD(remove);
    LOAD(link);
    LOAD(linkat);
    const char *r = getenv("LOSTWRITE_ROOT"), *m = getenv("LOSTWRITE_MIRROR");
    if (!r || !m || r[0] != '/' || m[0] != '/')
        return;
    snprintf(root, sizeof root, "%s", r);
    snprintf(mirror, sizeof mirror, "%s", m);
    root_len = strlen(root);
    mirror_len = strlen(mirror);
    const char *value = getenv("LOSTWRITE_IGNORE_SYNC");
    if (value)
        snprintf(ignore_sync, sizeof ignore_sync, "%s", value);
    value = getenv("LOSTWRITE_SYNC_US");
    if (value)
        sync_us = atol(value);
    real_sync = getenv("LOSTWRITE_REAL_SYNC") != NULL;
    char store[PATH_MAX + 32];
    mkdir(mirror, 0700);
    snprintf(store, sizeof store, "%s/.lostwrite", mirror);
    mkdir(store, 0700);
    /* No id of an earlier process on the same mirror comes back. */
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    next_id = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    enabled = true;
}

static void ready(void) { pthread_once(&once, init); }

__attribute__((constructor)) static void load(void) { ready(); }

/* ------------------------------------------------------------------------ paths */

/* Normalizes an absolute path in place: no `//`, `.` or `..`. */
static void normalize(char *path) {
    char out[PATH_MAX];
    size_t n = 0;
    const char *p = path;
    while (*p) {
        while (*p == '/')
            p++;
        const char *end = strchrnul(p, '/');
        size_t len = (size_t)(end - p);
        if (len == 0)
            break;
        if (len == 1 && p[0] == '.') {
        } else if (len == 2 && p[0] == '.' && p[1] == '.') {
            while (n > 0 && out[--n] != '/') {
            }
        } else if (n + len + 1 < sizeof out) {
            out[n++] = '/';
            memcpy(out + n, p, len);
            n += len;
        }
        p = end;
    }
    out[n] = 0;
    memcpy(path, out, n + 1);
}

static bool fd_path(int fd, char *out) {
    char link_path[64];
    snprintf(link_path, sizeof link_path, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link_path, out, PATH_MAX - 1);
    if (n <= 0 || out[0] != '/')
        return false;
    out[n] = 0;
    return true;
}

/* The path relative to the root ("" is the root itself); false when it is outside. */
static bool relative(int dirfd, const char *path, char *rel) {
    char full[PATH_MAX * 2];
    if (!enabled || !path || strlen(path) >= PATH_MAX)
        return false;
    if (path[0] == '/') {
        strcpy(full, path);
    } else {
        char base[PATH_MAX];
        if (dirfd == AT_FDCWD) {
            if (!getcwd(base, sizeof base))
                return false;
        } else if (!fd_path(dirfd, base)) {
            return false;
        }
        snprintf(full, sizeof full, "%s/%s", base, path);
        if (strlen(full) >= PATH_MAX)
            return false;
    }
    normalize(full);
    if (strncmp(full, root, root_len) != 0 || (full[root_len] != '/' && full[root_len] != 0))
        return false;
    strcpy(rel, full[root_len] ? full + root_len + 1 : "");
    return true;
}

static void real_of(const char *rel, char *out) {
    snprintf(out, PATH_MAX, "%s%s%s", root, rel[0] ? "/" : "", rel);
}

static void mirror_of(const char *rel, char *out) {
    snprintf(out, PATH_MAX, "%s%s%s", mirror, rel[0] ? "/" : "", rel);
}

static void content_of(const inode_t *node, char *out) {
    snprintf(out, PATH_MAX, "%s/.lostwrite/%llx", mirror, (unsigned long long)node->id);
}

static bool ignored(const char *rel, bool directory) {
    char path[PATH_MAX + 2];
    const char *p = ignore_sync;
    snprintf(path, sizeof path, "%s%s", rel, directory ? "/" : "");
    while (*p) {
        const char *end = strchrnul(p, ',');
        char part[256];
        size_t n = (size_t)(end - p);
        if (n > 0 && n < sizeof part) {
            memcpy(part, p, n);
            part[n] = 0;
            if (strstr(path, part))
                return true;
        }
        p = *end ? end + 1 : end;
    }
    return false;
}

/* ----------------------------------------------------------------------- inodes */

static inode_t **slot_of(dev_t dev, ino_t ino) {
    inode_t **slot = &buckets[(ino * 2654435761u ^ dev) % BUCKETS];
    while (*slot && ((*slot)->ino != ino || (*slot)->dev != dev))
        slot = &(*slot)->next;
    return slot;
}

/* With `table` held. */
static void mark_locked(inode_t *node, int64_t start, int64_t end) {
    if (end <= start)
        return;
    int i = 0;
    while (i < node->dirty_count) {
        range_t *r = &node->dirty[i];
        if (start <= r->end && r->start <= end) {
            start = start < r->start ? start : r->start;
            end = end > r->end ? end : r->end;
            *r = node->dirty[--node->dirty_count];
            i = 0;
        } else {
            i++;
        }
    }
    if (node->dirty_count == RANGES_MAX) {
        for (i = 0; i < node->dirty_count; i++) {
            start = start < node->dirty[i].start ? start : node->dirty[i].start;
            end = end > node->dirty[i].end ? end : node->dirty[i].end;
        }
        node->dirty_count = 0;
    }
    node->dirty[node->dirty_count++] = (range_t){start, end};
}

static void mark(inode_t *node, int64_t start, int64_t end) {
    pthread_mutex_lock(&table);
    mark_locked(node, start, end);
    pthread_mutex_unlock(&table);
}

static void drop_locked(inode_t **slot) {
    inode_t *node = *slot;
    char content[PATH_MAX];
    *slot = node->next;
    node->next = NULL;
    node->dropped = true;
    if (!node->directory) {
        content_of(node, content);
        real_unlink(content);
    }
}

static void make_empty(const char *path) {
    int fd = real_open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0)
        real_close(fd);
}

/*
 * The inode of a file of the data folder. `created`: this call made the file, so nothing of
 * it is durable. Otherwise what the mirror has under its name is its durable content.
 */
static inode_t *inode_of(const struct stat *st, const char *rel, bool created) {
    pthread_mutex_lock(&table);
    inode_t **slot = slot_of(st->st_dev, st->st_ino);
    if (*slot && created)
        drop_locked(slot), slot = slot_of(st->st_dev, st->st_ino);
    inode_t *node = *slot;
    if (!node) {
        node = calloc(1, sizeof *node);
        node->dev = st->st_dev;
        node->ino = st->st_ino;
        node->id = next_id++;
        node->directory = S_ISDIR(st->st_mode);
        pthread_mutex_init(&node->syncing, NULL);
        *slot = node;
        if (!node->directory) {
            char content[PATH_MAX], durable[PATH_MAX];
            content_of(node, content);
            mirror_of(rel, durable);
            if (created || real_link(durable, content) != 0)
                make_empty(content);
            if (!created)
                mark_locked(node, 0, INT64_MAX);
        }
    }
    pthread_mutex_unlock(&table);
    return node;
}

/* Makes a file known under the name that it has now, before the name changes. */
static void know(const char *rel) {
    char path[PATH_MAX];
    struct stat st;
    real_of(rel, path);
    if (lstat(path, &st) == 0 && S_ISREG(st.st_mode))
        inode_of(&st, rel, false);
}

/* Forgets an inode whose last name goes; an inode number may come back for a new file. */
static void forget(const struct stat *st) {
    if (!S_ISREG(st->st_mode) || st->st_nlink > 1)
        return;
    pthread_mutex_lock(&table);
    inode_t **slot = slot_of(st->st_dev, st->st_ino);
    if (*slot)
        drop_locked(slot);
    pthread_mutex_unlock(&table);
}

static inode_t *tracked(int fd) {
    return fd >= 0 && fd < FDS_MAX ? atomic_load_explicit(&by_fd[fd], memory_order_acquire) : NULL;
}

static void track(int fd, inode_t *node) {
    if (fd >= 0 && fd < FDS_MAX)
        atomic_store_explicit(&by_fd[fd], node, memory_order_release);
}

/* -------------------------------------------------------- the mirror's directories */

static void remove_tree(const char *path) {
    struct stat st;
    if (lstat(path, &st) != 0)
        return;
    if (S_ISDIR(st.st_mode)) {
        DIR *dir = opendir(path);
        struct dirent *entry;
        while (dir && (entry = readdir(dir))) {
            char child[PATH_MAX * 2];
            if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
                continue;
            snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
            if (strlen(child) < PATH_MAX)
                remove_tree(child);
        }
        if (dir)
            closedir(dir);
        rmdir(path);
    } else {
        real_unlink(path);
    }
}

static void make_parents(const char *rel) {
    char path[PATH_MAX];
    mirror_of(rel, path);
    for (char *p = path + mirror_len + 1; *p; p++) {
        if (*p == '/') {
            *p = 0;
            mkdir(path, 0700);
            *p = '/';
        }
    }
}

static bool inside(const char *rel, const char *dir) {
    size_t n = strlen(dir);
    return n == 0 || (strncmp(rel, dir, n) == 0 && (rel[n] == '/' || rel[n] == 0));
}

static bool is_parent(const char *dir, const char *rel) {
    const char *slash = strrchr(rel, '/');
    size_t n = slash ? (size_t)(slash - rel) : 0;
    return strlen(dir) == n && strncmp(rel, dir, n) == 0;
}

/* Applies the directory renames that a sync at `rel` makes durable. With `names` held. */
static void settle_renames(const char *rel) {
    renamed_t **at = &renamed;
    while (*at) {
        renamed_t *r = *at;
        if (inside(rel, r->to) || is_parent(rel, r->to) || is_parent(rel, r->from)) {
            char from[PATH_MAX], to[PATH_MAX];
            mirror_of(r->from, from);
            mirror_of(r->to, to);
            make_parents(r->to);
            if (access(from, F_OK) == 0) {
                remove_tree(to);
                real_rename(from, to);
            }
            *at = r->next;
            free(r);
        } else {
            at = &r->next;
        }
    }
}

/* Gives the mirror's `rel` the inode's durable content, unless it has it. */
static void name_content(const inode_t *node, const char *rel) {
    char content[PATH_MAX], path[PATH_MAX], fresh[PATH_MAX + 8];
    struct stat ours, there;
    content_of(node, content);
    mirror_of(rel, path);
    if (stat(content, &ours) != 0)
        return;
    if (lstat(path, &there) == 0) {
        if (there.st_ino == ours.st_ino)
            return;
        if (S_ISDIR(there.st_mode))
            remove_tree(path);
    }
    snprintf(fresh, sizeof fresh, "%s.lw", content);
    real_unlink(fresh);
    if (real_link(content, fresh) == 0)
        real_rename(fresh, path);
}

/* fsync of a directory: its names become durable as they are. */
static void sync_directory(const char *rel) {
    char path[PATH_MAX], there[PATH_MAX];
    struct dirent *entry;
    pthread_mutex_lock(&names);
    settle_renames(rel);
    make_parents(rel);
    mirror_of(rel, there);
    mkdir(there, 0700);
    real_of(rel, path);
    DIR *dir = opendir(path);
    while (dir && (entry = readdir(dir))) {
        char child[PATH_MAX], child_path[PATH_MAX], child_there[PATH_MAX];
        struct stat st;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if ((size_t)snprintf(child, sizeof child, "%s%s%s", rel, rel[0] ? "/" : "", entry->d_name) >=
            sizeof child)
            continue;
        real_of(child, child_path);
        mirror_of(child, child_there);
        if (lstat(child_path, &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode))
            mkdir(child_there, 0700);
        else if (S_ISREG(st.st_mode))
            name_content(inode_of(&st, child, false), child);
    }
    if (dir)
        closedir(dir);
    dir = opendir(there);
    while (dir && (entry = readdir(dir))) {
        char child[PATH_MAX], child_path[PATH_MAX], child_there[PATH_MAX];
        struct stat st;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
            (!rel[0] && !strcmp(entry->d_name, ".lostwrite")))
            continue;
        if ((size_t)snprintf(child, sizeof child, "%s%s%s", rel, rel[0] ? "/" : "", entry->d_name) >=
            sizeof child)
            continue;
        real_of(child, child_path);
        mirror_of(child, child_there);
        if (lstat(child_path, &st) != 0)
            remove_tree(child_there);
    }
    if (dir)
        closedir(dir);
    pthread_mutex_unlock(&names);
}

/* ---------------------------------------------------------------------- content */

static void copy_range(int from, int to, int64_t start, int64_t end) {
    char *buffer = malloc(COPY_BYTES);
    while (buffer && start < end) {
        size_t want = end - start < COPY_BYTES ? (size_t)(end - start) : COPY_BYTES;
        ssize_t n = pread(from, buffer, want, start);
        if (n <= 0)
            break;
        for (ssize_t done = 0; done < n;) {
            ssize_t m = real_pwrite64(to, buffer + done, (size_t)(n - done), start + done);
            if (m <= 0) {
                /* A mirror that can't be written would show losses that are not there. */
                perror("lostwrite: mirror");
                abort();
            }
            done += m;
        }
        start += n;
    }
    free(buffer);
}

/* fsync of a file: its content becomes durable, and its name if it is new. */
static void sync_file(int fd, inode_t *node, const char *rel, bool linked) {
    char path[PATH_MAX];
    range_t dirty[RANGES_MAX];
    struct stat st;
    pthread_mutex_lock(&node->syncing);
    pthread_mutex_lock(&table);
    int count = node->dirty_count;
    memcpy(dirty, node->dirty, sizeof dirty);
    node->dirty_count = 0;
    pthread_mutex_unlock(&table);
    content_of(node, path);
    int to = real_open(path, O_WRONLY | O_CLOEXEC, 0600);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int from = real_open(path, O_RDONLY | O_CLOEXEC);
    if (to >= 0 && from >= 0 && fstat(from, &st) == 0) {
        real_ftruncate64(to, st.st_size);
        for (int i = 0; i < count; i++) {
            int64_t end = dirty[i].end < st.st_size ? dirty[i].end : st.st_size;
            copy_range(from, to, dirty[i].start, end);
        }
    }
    if (from >= 0)
        real_close(from);
    if (to >= 0)
        real_close(to);
    if (linked && !node->dropped) {
        pthread_mutex_lock(&names);
        settle_renames(rel);
        content_of(node, path);
        if (stat(path, &st) == 0 && st.st_nlink < 2) {
            make_parents(rel);
            name_content(node, rel);
        }
        pthread_mutex_unlock(&names);
    }
    pthread_mutex_unlock(&node->syncing);
}

static int sync_fd(int fd, int (*real)(int)) {
    inode_t *node = tracked(fd);
    char path[PATH_MAX], rel[PATH_MAX];
    if (!node)
        return real(fd);
    int saved = errno;
    /* A slow disk: the process may die while it waits, before anything is durable. */
    if (sync_us > 0)
        usleep((useconds_t)sync_us);
    bool linked = fd_path(fd, path) && relative(AT_FDCWD, path, rel);
    if (linked && strlen(rel) > 10 && !strcmp(rel + strlen(rel) - 10, " (deleted)"))
        linked = false;
    if (!linked || !ignored(rel, node->directory)) {
        if (!node->directory)
            sync_file(fd, node, linked ? rel : "", linked);
        else if (linked)
            sync_directory(rel);
    }
    int result = real_sync ? real(fd) : 0;
    errno = saved;
    return result;
}

EXPORT int fsync(int fd) {
    ready();
    return sync_fd(fd, real_fsync);
}

EXPORT int fdatasync(int fd) {
    ready();
    return sync_fd(fd, real_fdatasync);
}

/* ------------------------------------------------------------- opening and closing */

static int open_at(int dirfd, const char *path, int flags, mode_t mode) {
    char rel[PATH_MAX];
    struct stat st;
    ready();
    if (!enabled || !relative(dirfd, path, rel))
        return real_openat(dirfd, path, flags, mode);
    bool temporary = (flags & O_TMPFILE) == O_TMPFILE;
    bool created = false;
    int fd = -1;
    if ((flags & O_CREAT) && !temporary) {
        /* O_EXCL first, so that it is certain who made the file. */
        fd = real_openat(dirfd, path, flags | O_EXCL, mode);
        created = fd >= 0;
        if (fd < 0 && (errno != EEXIST || (flags & O_EXCL)))
            return fd;
    }
    int64_t before = 0;
    if (fd < 0) {
        if (!temporary && fstatat(dirfd, path, &st, 0) == 0 && S_ISREG(st.st_mode)) {
            inode_of(&st, rel, false);
            before = st.st_size;
        }
        fd = real_openat(dirfd, path, flags, mode);
    }
    if (fd < 0 || temporary)
        return fd;
    int saved = errno;
    if (fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))) {
        inode_t *node = inode_of(&st, rel, created);
        if (flags & O_TRUNC)
            mark(node, 0, before);
        track(fd, node);
    }
    errno = saved;
    return fd;
}

#define WITH_MODE(flags, mode)                            \
    mode_t mode = 0;                                      \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {              \
        va_list args;                                     \
        va_start(args, flags);                            \
        mode = (mode_t)va_arg(args, int);                 \
        va_end(args);                                     \
    }

EXPORT int open(const char *path, int flags, ...) {
    WITH_MODE(flags, mode)
    return open_at(AT_FDCWD, path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...) {
    WITH_MODE(flags, mode)
    return open_at(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

EXPORT int openat(int dirfd, const char *path, int flags, ...) {
    WITH_MODE(flags, mode)
    return open_at(dirfd, path, flags, mode);
}

EXPORT int openat64(int dirfd, const char *path, int flags, ...) {
    WITH_MODE(flags, mode)
    return open_at(dirfd, path, flags | O_LARGEFILE, mode);
}

EXPORT int __open_2(const char *path, int flags) { return open_at(AT_FDCWD, path, flags, 0); }
EXPORT int __open64_2(const char *path, int flags) {
    return open_at(AT_FDCWD, path, flags | O_LARGEFILE, 0);
}

EXPORT int creat(const char *path, mode_t mode) {
    return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

EXPORT int creat64(const char *path, mode_t mode) { return creat(path, mode); }

EXPORT int close(int fd) {
    ready();
    track(fd, NULL);
    return real_close(fd);
}

EXPORT int dup(int fd) {
    ready();
    int copy = real_dup(fd);
    track(copy, tracked(fd));
    return copy;
}

EXPORT int dup2(int fd, int to) {
    ready();
    int copy = real_dup2(fd, to);
    if (copy >= 0)
        track(copy, tracked(fd));
    return copy;
}

EXPORT int dup3(int fd, int to, int flags) {
    ready();
    int copy = real_dup3(fd, to, flags);
    if (copy >= 0)
        track(copy, tracked(fd));
    return copy;
}

static int fcntl_any(int fd, int command, void *argument) {
    ready();
    int result = real_fcntl(fd, command, argument);
    if ((command == F_DUPFD || command == F_DUPFD_CLOEXEC) && result >= 0)
        track(result, tracked(fd));
    return result;
}

EXPORT int fcntl(int fd, int command, ...) {
    va_list args;
    va_start(args, command);
    void *argument = va_arg(args, void *);
    va_end(args);
    return fcntl_any(fd, command, argument);
}

EXPORT int fcntl64(int fd, int command, ...) {
    va_list args;
    va_start(args, command);
    void *argument = va_arg(args, void *);
    va_end(args);
    return fcntl_any(fd, command, argument);
}

/* ---------------------------------------------------------------------- writing */

/* Notes a write at the file's own position, which has just moved over it. */
static ssize_t wrote(int fd, ssize_t n) {
    inode_t *node = n > 0 ? tracked(fd) : NULL;
    if (node && !node->directory) {
        int saved = errno;
        int64_t end = lseek64(fd, 0, SEEK_CUR);
        if (end >= n)
            mark(node, end - n, end);
        errno = saved;
    }
    return n;
}

static ssize_t wrote_at(int fd, ssize_t n, int64_t offset) {
    inode_t *node = n > 0 ? tracked(fd) : NULL;
    if (node && !node->directory)
        mark(node, offset, offset + n);
    return n;
}

EXPORT ssize_t write(int fd, const void *data, size_t n) {
    ready();
    return wrote(fd, real_write(fd, data, n));
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int count) {
    ready();
    return wrote(fd, real_writev(fd, parts, count));
}

EXPORT ssize_t pwrite64(int fd, const void *data, size_t n, off64_t offset) {
    ready();
    return wrote_at(fd, real_pwrite64(fd, data, n, offset), offset);
}

EXPORT ssize_t pwrite(int fd, const void *data, size_t n, off_t offset) {
    return pwrite64(fd, data, n, offset);
}

EXPORT ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    ready();
    return wrote_at(fd, real_pwritev64(fd, parts, count, offset), offset);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    return pwritev64(fd, parts, count, offset);
}

EXPORT ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t n, unsigned flags) {
    ready();
    int64_t at = out_at ? *out_at : -1;
    ssize_t result = real_copy_file_range(in, in_at, out, out_at, n, flags);
    return at < 0 ? wrote(out, result) : wrote_at(out, result, at);
}

EXPORT ssize_t sendfile64(int out, int in, off64_t *offset, size_t n) {
    ready();
    return wrote(out, real_sendfile64(out, in, offset, n));
}

EXPORT ssize_t sendfile(int out, int in, off_t *offset, size_t n) { return sendfile64(out, in, offset, n); }

EXPORT int ftruncate64(int fd, off64_t size) {
    ready();
    inode_t *node = tracked(fd);
    struct stat st;
    if (!node || fstat(fd, &st) != 0)
        return real_ftruncate64(fd, size);
    int result = real_ftruncate64(fd, size);
    if (result == 0)
        mark(node, size, st.st_size);
    return result;
}

EXPORT int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

EXPORT int truncate64(const char *path, off64_t size) {
    char rel[PATH_MAX];
    struct stat st;
    ready();
    bool ours = relative(AT_FDCWD, path, rel) && stat(path, &st) == 0;
    int result = real_truncate64(path, size);
    if (ours && result == 0)
        mark(inode_of(&st, rel, false), size, st.st_size);
    return result;
}

EXPORT int truncate(const char *path, off_t size) { return truncate64(path, size); }

EXPORT int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
    ready();
    int result = real_fallocate64(fd, mode, offset, length);
    inode_t *node = tracked(fd);
    /* Punching and zeroing change bytes; plain allocation only adds zeros at the end. */
    if (node && result == 0 && (mode & ~FALLOC_FL_KEEP_SIZE) != 0)
        mark(node, offset, INT64_MAX);
    return result;
}

EXPORT int fallocate(int fd, int mode, off_t offset, off_t length) {
    return fallocate64(fd, mode, offset, length);
}

EXPORT int posix_fallocate64(int fd, off64_t offset, off64_t length) {
    ready();
    return real_posix_fallocate64(fd, offset, length);
}

EXPORT int posix_fallocate(int fd, off_t offset, off_t length) {
    return posix_fallocate64(fd, offset, length);
}

/* ------------------------------------------------------------------------ names */

EXPORT int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    char from_rel[PATH_MAX], to_rel[PATH_MAX], path[PATH_MAX];
    struct stat moved, replaced;
    ready();
    if (!relative(from_dir, from, from_rel) || !relative(to_dir, to, to_rel))
        return real_renameat2 ? real_renameat2(from_dir, from, to_dir, to, flags)
                              : (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
    know(from_rel);
    real_of(from_rel, path);
    bool known = lstat(path, &moved) == 0;
    real_of(to_rel, path);
    bool over = lstat(path, &replaced) == 0;
    int result = real_renameat2(from_dir, from, to_dir, to, flags);
    if (result != 0)
        return result;
    if (over && known && replaced.st_ino != moved.st_ino)
        forget(&replaced);
    if (known && S_ISDIR(moved.st_mode)) {
        renamed_t *r = calloc(1, sizeof *r), **at;
        strcpy(r->from, from_rel);
        strcpy(r->to, to_rel);
        pthread_mutex_lock(&names);
        for (at = &renamed; *at; at = &(*at)->next) {
        }
        *at = r;
        pthread_mutex_unlock(&names);
    }
    return result;
}

EXPORT int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

EXPORT int renameat(int from_dir, const char *from, int to_dir, const char *to) {
    return renameat2(from_dir, from, to_dir, to, 0);
}

EXPORT int unlinkat(int dirfd, const char *path, int flags) {
    char rel[PATH_MAX];
    struct stat st;
    ready();
    bool ours = !(flags & AT_REMOVEDIR) && relative(dirfd, path, rel) &&
                fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
    int result = real_unlinkat(dirfd, path, flags);
    if (ours && result == 0)
        forget(&st);
    return result;
}

EXPORT int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }

EXPORT int remove(const char *path) {
    int result = unlink(path);
    return result != 0 && errno == EISDIR ? rmdir(path) : result;
}

EXPORT int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    char rel[PATH_MAX];
    ready();
    if (relative(from_dir, from, rel))
        know(rel);
    return real_linkat(from_dir, from, to_dir, to, flags);
}

EXPORT int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }
