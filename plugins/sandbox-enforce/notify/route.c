/* SPDX-License-Identifier: Apache-2.0 */
/* route.c - whether an address is one of this machine: asked of the kernel, which alone
 * knows all of them (rtnetlink(7), RTM_GETROUTE). A service that listens on every interface is
 * reached by each of their addresses, not by loopback alone. */
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "plugins/sandbox-enforce/notify/inner.h"
#include "sdk/cleanup.h"

struct question {
    struct nlmsghdr head;
    struct rtmsg route;
    struct rtattr attribute;
    unsigned char address[16];
};

/* What connect would take it for: an IPv4 address within an IPv6 one is that one. */
static size_t address_of(const struct sockaddr *from, unsigned char ret[16], unsigned char *family)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    *family = AF_INET;
    if (from->sa_family == AF_INET) {
        memcpy(&in, from, sizeof(in));
        memcpy(ret, &in.sin_addr, 4);
        return 4;
    }
    memcpy(&in6, from, sizeof(in6));
    bool is_mapped = IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr);
    size_t size = is_mapped ? 4 : 16;
    memcpy(ret, in6.sin6_addr.s6_addr + 16 - size, size);
    *family = is_mapped ? AF_INET : AF_INET6;
    return size;
}

static int judge(const unsigned char *answer, size_t size)
{
    struct nlmsghdr head;
    struct rtmsg route;
    struct nlmsgerr error;
    if (size < NLMSG_HDRLEN)
        return EPROTO;
    memcpy(&head, answer, sizeof(head));
    if (head.nlmsg_type == NLMSG_ERROR && size >= NLMSG_HDRLEN + sizeof(error)) {
        memcpy(&error, answer + NLMSG_HDRLEN, sizeof(error));
        return error.error < 0 ? -error.error : EPROTO;
    }
    if (head.nlmsg_type != RTM_NEWROUTE || size < NLMSG_HDRLEN + sizeof(route))
        return EPROTO;
    memcpy(&route, answer + NLMSG_HDRLEN, sizeof(route));
    return route.rtm_type == RTN_UNICAST ? 0 : EACCES;
}

int route_leads_away(const struct sockaddr *address)
{
    struct question q = { .head = { .nlmsg_type = RTM_GETROUTE, .nlmsg_flags = NLM_F_REQUEST } };
    unsigned char answer[4096];
    const struct timeval limit = { .tv_sec = 5 };
    size_t size = address_of(address, q.address, &q.route.rtm_family);
    q.route.rtm_dst_len = (unsigned char)(size * 8);
    q.attribute =
        (struct rtattr){ .rta_type = RTA_DST, .rta_len = (unsigned short)RTA_LENGTH(size) };
    q.head.nlmsg_len = (unsigned)(offsetof(struct question, address) + size);
    nt_autoclose int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return errno;
    /* The kernel answers within send; the limit is for what is no kernel (sandboxes around us). */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (send(fd, &q, q.head.nlmsg_len, 0) < 0)
        return errno;
    ssize_t got = recv(fd, answer, sizeof(answer), 0);
    return got < 0 ? errno : judge(answer, (size_t)got);
}
