/* A machine's network card without the machine: the frames of a tap device to and from the socket of a virtual network, each after its
   length in four bytes, big-endian (QEMU's "-netdev stream" over a unix socket). It listens at the socket, as
   QEMU does. Usage: tap_to_switch TAP SOCKET; ends with its first client. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { largest_frame = 65535, room = 1 << 18 };

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int open_tap(const char *name) {
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
  if (fd < 0) fail("/dev/net/tun");
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (ioctl(fd, TUNSETIFF, &request) != 0) fail(name);
  return fd;
}

static int open_socket(const char *path) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (fd < 0 || strlen(path) >= sizeof address.sun_path) fail(path);
  strcpy(address.sun_path, path);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 1) != 0) fail(path);
  const int client = accept(fd, NULL, NULL);
  if (client < 0) fail(path);
  fcntl(client, F_SETFL, O_NONBLOCK);
  return client;
}

int main(int argc, char **argv) {
  static char out[room + largest_frame + 4], in[room];
  size_t out_begin = 0, out_end = 0, in_end = 0;
  if (argc != 3) return 2;
  const int tap = open_tap(argv[1]), wire = open_socket(argv[2]);
  for (;;) {
    struct pollfd set[2] = {{.fd = tap, .events = out_end ? 0 : POLLIN}, {.fd = wire, .events = POLLIN | (out_end ? POLLOUT : 0)}};
    if (poll(set, 2, -1) < 0 && errno != EINTR) fail("poll");
    if (!out_end) {
      ssize_t count;
      while (out_end < room / 4 && (count = read(tap, out + out_end + 4, largest_frame)) > 0) {
        const uint32_t length = htonl((uint32_t)count);
        memcpy(out + out_end, &length, 4);
        out_end += 4 + (size_t)count;
      }
    }
    while (out_begin < out_end) {
      const ssize_t count = send(wire, out + out_begin, out_end - out_begin, MSG_NOSIGNAL);
      if (count < 0 && errno == EAGAIN) break;
      if (count < 0) fail("send");
      out_begin += (size_t)count;
    }
    if (out_begin == out_end) out_begin = out_end = 0;
    if (set[1].revents) {
      const ssize_t count = read(wire, in + in_end, room - in_end);
      if (count == 0) return 0;
      if (count < 0 && errno != EAGAIN) fail("read");
      if (count > 0) in_end += (size_t)count;
      size_t at = 0;
      uint32_t length;
      while (in_end - at >= 4 && (memcpy(&length, in + at, 4), length = ntohl(length)) <= in_end - at - 4) {
        if (write(tap, in + at + 4, length) < 0 && errno != EAGAIN) fail("write");
        at += 4 + length;
      }
      memmove(in, in + at, in_end -= at);
      if (in_end == room) return 1;
    }
  }
}
