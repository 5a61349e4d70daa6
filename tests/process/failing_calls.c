/* Calls of the C library that fail: counts those that touch a folder, and has one of them fail.
 *
 * To be preloaded. Nothing is counted before `fail_call` was called. HDF5 and Python's own modules
 * call these too, which no wrapper in Python sees.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <unistd.h>

#define DESCRIPTORS 4096

static char root[PATH_MAX];
static long calls, fail_at;
static int fail_with;
static char failed[64];
static char inside[DESCRIPTORS];

/* Have the call of that number fail with an errno; 0 for none. */
void fail_call(const char *folder, long number, int with)
{
    strncpy(root, folder, sizeof root - 1);
    calls = 0, fail_at = number, fail_with = with, failed[0] = 0;
}

long calls_so_far(void) { return calls; }
const char *failed_call(void) { return failed; }

static int is_inside(const char *path)
{
    size_t length = strlen(root);
    return length && path && !strncmp(path, root, length) && (!path[length] || path[length] == '/');
}

static int is_open_inside(int descriptor)
{
    return descriptor >= 0 && descriptor < DESCRIPTORS && inside[descriptor];
}

static int fails(const char *name, int counts)
{
    if (!counts || ++calls != fail_at)
        return 0;
    strncpy(failed, name, sizeof failed - 1);
    errno = fail_with;
    return 1;
}

static int opened(int descriptor, int is_in)
{
    if (descriptor >= 0 && descriptor < DESCRIPTORS)
        inside[descriptor] = is_in;
    return descriptor;
}

#define STOCK(result, name, ...) \
    static result (*stock)(__VA_ARGS__); \
    if (!stock) stock = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

/* A function that fails for a path, or for a descriptor, and is stock's otherwise. */
#define BY(test, result, failure, name, parameters, arguments, ...) \
    result name parameters \
    { \
        STOCK(result, #name, __VA_ARGS__); \
        return fails(#name, test) ? failure : stock arguments; \
    }
#define BY_PATH(name, parameters, arguments, ...) \
    BY(is_inside(path), int, -1, name, parameters, arguments, __VA_ARGS__)
#define BY_DESCRIPTOR(result, failure, name, parameters, arguments, ...) \
    BY(is_open_inside(descriptor), result, failure, name, parameters, arguments, __VA_ARGS__)

#define OPEN(name) \
    int name(const char *path, int flags, ...) \
    { \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = va_arg(more, mode_t); \
        va_end(more); \
        STOCK(int, #name, const char *, int, mode_t); \
        int is_in = is_inside(path); \
        return fails(#name, is_in) ? -1 : opened(stock(path, flags, mode), is_in); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) \
    { \
        va_list more; \
        va_start(more, flags); \
        mode_t mode = va_arg(more, mode_t); \
        va_end(more); \
        STOCK(int, #name, int, const char *, int, mode_t); \
        int is_in = is_inside(path); \
        return fails(#name, is_in) ? -1 : opened(stock(folder, path, flags, mode), is_in); \
    }
OPENAT(openat)
OPENAT(openat64)

int close(int descriptor)
{
    STOCK(int, "close", int);
    int is_in = is_open_inside(descriptor);
    opened(descriptor, 0);
    int result = stock(descriptor);
    return fails("close", is_in) ? -1 : result; /* closed it is, as on Linux */
}

#define STAT(name, type) \
    BY_PATH(name, (const char *path, type *found), (path, found), const char *, type *)
STAT(stat, struct stat)
STAT(stat64, struct stat64)
STAT(lstat, struct stat)
STAT(lstat64, struct stat64)
STAT(statvfs, struct statvfs)
STAT(statvfs64, struct statvfs64)
BY_DESCRIPTOR(int, -1, fstat, (int descriptor, struct stat *found), (descriptor, found), int, struct stat *)
BY_DESCRIPTOR(int, -1, fstat64, (int descriptor, struct stat64 *found), (descriptor, found), int, struct stat64 *)
BY_PATH(mkdir, (const char *path, mode_t mode), (path, mode), const char *, mode_t)
BY_PATH(chmod, (const char *path, mode_t mode), (path, mode), const char *, mode_t)
BY_PATH(access, (const char *path, int mode), (path, mode), const char *, int)
BY_PATH(unlink, (const char *path), (path), const char *)
BY_PATH(rename, (const char *path, const char *to), (path, to), const char *, const char *)
BY(is_inside(path), DIR *, NULL, opendir, (const char *path), (path), const char *)
BY(is_inside(path), int, -1, utimensat,
   (int folder, const char *path, const struct timespec *times, int flags),
   (folder, path, times, flags), int, const char *, const struct timespec *, int)
BY_DESCRIPTOR(ssize_t, -1, read, (int descriptor, void *to, size_t count), (descriptor, to, count), int, void *, size_t)
BY_DESCRIPTOR(ssize_t, -1, write, (int descriptor, const void *from, size_t count), (descriptor, from, count), int, const void *, size_t)
#define AT(name, type, offset_type) \
    BY_DESCRIPTOR(ssize_t, -1, name, (int descriptor, type memory, size_t count, offset_type offset), \
                  (descriptor, memory, count, offset), int, type, size_t, offset_type)
AT(pread, void *, off_t)
AT(pread64, void *, off64_t)
AT(pwrite, const void *, off_t)
AT(pwrite64, const void *, off64_t)
BY_DESCRIPTOR(int, -1, fsync, (int descriptor), (descriptor), int)
BY_DESCRIPTOR(int, -1, flock, (int descriptor, int operation), (descriptor, operation), int, int)
BY_DESCRIPTOR(int, -1, ftruncate, (int descriptor, off_t length), (descriptor, length), int, off_t)
BY_DESCRIPTOR(int, -1, ftruncate64, (int descriptor, off64_t length), (descriptor, length), int, off64_t)
BY_DESCRIPTOR(off_t, -1, lseek, (int descriptor, off_t offset, int from), (descriptor, offset, from), int, off_t, int)
BY_DESCRIPTOR(off64_t, -1, lseek64, (int descriptor, off64_t offset, int from), (descriptor, offset, from), int, off64_t, int)
#define MAP(name, offset_type) \
    BY_DESCRIPTOR(void *, MAP_FAILED, name, \
                  (void *at, size_t count, int protection, int flags, int descriptor, offset_type offset), \
                  (at, count, protection, flags, descriptor, offset), \
                  void *, size_t, int, int, int, offset_type)
MAP(mmap, off_t)
MAP(mmap64, off64_t)
