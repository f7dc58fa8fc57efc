/* Preloaded into berthd by crash_points.py: what happens to files below one folder is counted, and the call with one number
   does not go well. Children of berthd are left alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum mode { off, die, die_in_write, die_unsynced, no_space, io_error };

/* Shared with the test, which maps the same file. */
struct control {
  int64_t count; /* calls until now */
  int64_t at;    /* the one that does not go well, from 1 */
  int64_t last;  /* and those after it up to this one, for errors */
  int64_t mode;
};

static struct control *control;
static const char *root;
static pid_t owner;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

/* --- what was written and not synced since: how it was before */

struct undo {
  struct undo *older;
  ino_t file;
  char path[PATH_MAX];
  off_t offset, size; /* of the file before */
  size_t length;
  char bytes[];
};
static struct undo *newest;

static void remember(int fd, off_t offset, size_t length) {
  struct stat status;
  if (control->mode != die_unsynced || fstat(fd, &status) != 0) return;
  char name[64];
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  struct undo *undo = malloc(sizeof *undo + length);
  const ssize_t size = readlink(name, undo->path, PATH_MAX - 1);
  undo->path[size > 0 ? size : 0] = 0;
  undo->file = status.st_ino;
  undo->size = status.st_size;
  undo->offset = offset;
  const int again = open(name, O_RDONLY | O_CLOEXEC);
  const ssize_t got = length > 0 && again >= 0 ? pread(again, undo->bytes, length, offset) : 0;
  if (again >= 0) close(again);
  undo->length = got > 0 ? (size_t)got : 0;
  undo->older = newest;
  newest = undo;
}

static void forget(int fd) {
  struct stat status;
  if (control->mode != die_unsynced || fstat(fd, &status) != 0) return;
  for (struct undo **at = &newest; *at;)
    if ((*at)->file == status.st_ino) {
      struct undo *synced = *at;
      *at = synced->older;
      free(synced);
    } else {
      at = &(*at)->older;
    }
}

static void lose_unsynced(void) {
  for (struct undo *undo = newest; undo; undo = undo->older) {
    const int fd = open(undo->path, O_WRONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0 || status.st_ino != undo->file) continue;
    if (undo->length > 0) REAL(pwrite)(fd, undo->bytes, undo->length, undo->offset);
    REAL(ftruncate)(fd, undo->size);
    close(fd);
  }
}

/* --- which calls count */

__attribute__((constructor)) static void begin(void) {
  const char *file = getenv("FAULTY_DISK_CONTROL");
  root = getenv("FAULTY_DISK_ROOT");
  if (!file || !root || strcmp(program_invocation_short_name, "berthd") != 0) return;
  const int fd = open(file, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *map = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (map == MAP_FAILED) return;
  control = map;
  owner = getpid();
}

static int is_ours(const char *path) {
  const size_t length = strlen(root);
  if (strncmp(path, root, length) != 0 || path[length] != '/') return 0;
  /* The log is no state; the index of SQLite's log is made anew from it. */
  return !strstr(path, "/berthd.log") && !strstr(path, "-shm");
}

static int is_ours_at(int folder, const char *path) {
  char whole[2 * PATH_MAX], name[64];
  if (path[0] == '/' || folder == AT_FDCWD) return is_ours(path);
  snprintf(name, sizeof name, "/proc/self/fd/%d", folder);
  const ssize_t size = readlink(name, whole, PATH_MAX - 1);
  if (size < 0) return 0;
  snprintf(whole + size, sizeof whole - (size_t)size, "/%s", path);
  return is_ours(whole);
}

static int is_ours_fd(int fd) {
  return is_ours_at(fd, "");
}

static int active(void) { return control && control->mode != off && getpid() == owner; }

/* Counts one call. Returns the error that it shall end with, or 0; -1: it is a write that shall be cut in the middle. */
static int fault(void) {
  const int64_t number = __atomic_add_fetch(&control->count, 1, __ATOMIC_SEQ_CST);
  if (number < control->at || control->at == 0) return 0;
  switch (control->mode) {
    case die_in_write:
      return -1;
    case die_unsynced:
      lose_unsynced();
      /* fall through */
    case die:
      kill(getpid(), SIGKILL);
      for (;;) pause();
    case no_space:
      return number <= control->last ? ENOSPC : 0;
    case io_error:
      return number <= control->last ? EIO : 0;
  }
  return 0;
}

#define UNLESS_FAULT(ours, failed)                   \
  if (active() && (ours)) {                          \
    pthread_mutex_lock(&mutex);                      \
    const int error = fault();                       \
    pthread_mutex_unlock(&mutex);                    \
    if (error < 0) kill(getpid(), SIGKILL);          \
    if (error > 0) {                                 \
      errno = error;                                 \
      return failed;                                 \
    }                                                \
  }

#define UNLESS_FAULT_IN_WRITE(part)                  \
  if (active() && is_ours_fd(fd)) {                  \
    pthread_mutex_lock(&mutex);                      \
    const int error = fault();                       \
    pthread_mutex_unlock(&mutex);                    \
    if (error < 0) {                                 \
      part;                                          \
      kill(getpid(), SIGKILL);                       \
      for (;;) pause();                              \
    }                                                \
    if (error > 0) {                                 \
      errno = error;                                 \
      return -1;                                     \
    }                                                \
  }

ssize_t write(int fd, const void *bytes, size_t count) {
  UNLESS_FAULT_IN_WRITE(REAL(write)(fd, bytes, count / 2))
  if (active() && is_ours_fd(fd)) {
    struct stat status;
    const off_t at = (fcntl(fd, F_GETFL) & O_APPEND) && fstat(fd, &status) == 0 ? status.st_size : lseek(fd, 0, SEEK_CUR);
    remember(fd, at, count);
  }
  return REAL(write)(fd, bytes, count);
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
  UNLESS_FAULT_IN_WRITE(REAL(pwrite)(fd, bytes, count / 2, offset))
  if (active() && is_ours_fd(fd)) remember(fd, offset, count);
  return REAL(pwrite)(fd, bytes, count, offset);
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) { return pwrite(fd, bytes, count, offset); }
ssize_t writev(int fd, const struct iovec *parts, int count) {
  UNLESS_FAULT(is_ours_fd(fd), -1)
  return REAL(writev)(fd, parts, count);
}
int ftruncate(int fd, off_t size) {
  UNLESS_FAULT(is_ours_fd(fd), -1)
  struct stat status;
  if (active() && is_ours_fd(fd) && fstat(fd, &status) == 0)
    remember(fd, size, status.st_size > size ? (size_t)(status.st_size - size) : 0);
  return REAL(ftruncate)(fd, size);
}
int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }
int fsync(int fd) {
  UNLESS_FAULT(is_ours_fd(fd), -1)
  const int result = REAL(fsync)(fd);
  if (active() && result == 0) forget(fd);
  return result;
}
int fdatasync(int fd) {
  UNLESS_FAULT(is_ours_fd(fd), -1)
  const int result = REAL(fdatasync)(fd);
  if (active() && result == 0) forget(fd);
  return result;
}
int rename(const char *from, const char *to) {
  UNLESS_FAULT(is_ours(to), -1)
  return REAL(rename)(from, to);
}
int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
  UNLESS_FAULT(is_ours_at(to_folder, to), -1)
  return REAL(renameat2)(from_folder, from, to_folder, to, flags);
}
int link(const char *from, const char *to) {
  UNLESS_FAULT(is_ours(to), -1)
  return REAL(link)(from, to);
}
int unlink(const char *path) {
  UNLESS_FAULT(is_ours(path), -1)
  return REAL(unlink)(path);
}
int unlinkat(int folder, const char *path, int flags) {
  UNLESS_FAULT(is_ours_at(folder, path), -1)
  return REAL(unlinkat)(folder, path, flags);
}
int remove(const char *path) {
  UNLESS_FAULT(is_ours(path), -1)
  return REAL(remove)(path);
}
int rmdir(const char *path) {
  UNLESS_FAULT(is_ours(path), -1)
  return REAL(rmdir)(path);
}
int mkdir(const char *path, mode_t mode) {
  UNLESS_FAULT(is_ours(path), -1)
  return REAL(mkdir)(path, mode);
}
/* Programs that are started: as a call that is counted; errors are those of the disk, and there are none here. */
static void count_spawn(void) {
  if (!active() || (control->mode != die && control->mode != die_unsynced && control->mode != die_in_write)) return;
  pthread_mutex_lock(&mutex);
  if (fault() < 0) kill(getpid(), SIGKILL);
  pthread_mutex_unlock(&mutex);
}
pid_t fork(void) {
  count_spawn();
  return REAL(fork)();
}
int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes, char *const argv[],
                char *const env[]) {
  count_spawn();
  return REAL(posix_spawn)(pid, path, actions, attributes, argv, env);
}
int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes, char *const argv[],
                 char *const env[]) {
  count_spawn();
  return REAL(posix_spawnp)(pid, file, actions, attributes, argv, env);
}
