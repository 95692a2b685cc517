/* SPDX-License-Identifier: Apache-2.0 */
/* native.h - what the files of engine-native share: workspaces on disk, images, the launcher, calls
 * in flight.
 *
 * Threads: disk.c, image.c, skeleton.c and launch_spawn run on workers and touch nothing but their
 * arguments; all else belongs to the loop's thread. */
#ifndef ENGINE_NATIVE_H
#define ENGINE_NATIVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "nanoterm/engine.h"
#include "nanoterm/guest.h"
#include "limits.h"
#include "plan.h"

#define META_MAX (64u * 1024u)

/* A workspace as it is written down: DATA/ws/ID/meta.json. */
struct meta {
    char id[44];
    char hostname[68];
    char image[4200];
    char key[132];  /* of the create that made it */
    char base[68];  /* identity of the base it was last started on */
    uint32_t flags; /* NT_SPEC_* */
    uint32_t cpu_millis, pids;
    uint32_t uid; /* on the host */
    uint64_t memory_bytes, disk_bytes;
};

/* Who the guest is: DATA/ws/ID/run, written by the launcher. */
struct record {
    char boot[40];
    int64_t pid;
    uint64_t start;
    struct limits_strength strength; /* zeros: written by a launcher that did not say */
};

/* --- disk.c: folders and files of workspaces; workers and open ----------------------------- */

struct disk {
    int data_fd;
    char *data_dir;
    char *libexec_dir;
    bool as_root;
};

bool disk_is_id(const char *id);
int disk_open(const struct nt_engine_host *host, struct disk *ret, struct nt_error *reterr);
void disk_done(struct disk *disk);
/* Makes DATA/ws/ID with jobs and layer; NT_E_CONFLICT when it is there. */
int disk_make(const struct disk *disk, const struct meta *meta, struct nt_error *reterr);
/* The folder, locked for the time it is open; -1. NT_E_NOT_FOUND: none. */
int disk_lock(const struct disk *disk, const char *id, struct nt_error *reterr);
int disk_read_meta(int dir, struct meta *ret, struct nt_error *reterr);
int disk_write_meta(int dir, const struct meta *meta, struct nt_error *reterr);
/* What the server keeps here: DATA/ws/ID/record.json. *ret is NULL when there is none. */
int disk_write_record(int dir, const char *id, const char *record, struct nt_error *reterr);
int disk_read_record(int dir, char **ret, struct nt_error *reterr);
/* Makes the upper and work folders of one layer. */
int disk_make_layer(const struct disk *disk, int dir, const char *name, struct nt_error *reterr);
/* A descriptor of the guest's process, when the record is of this boot and the process lives; else
 * -1. */
int disk_find_guest(int dir, struct record *ret);
void disk_forget_guest(int dir);
/* Whether a guest was started here and not yet forgotten. */
bool disk_has_guest(int dir);
/* Why the guest has ended: "ttl" or "idle" when it says so, else "ended". Its word, and its folder,
 * are hostile. */
const char *disk_end_reason(const struct disk *disk, const char *id);
/* Removes the word of the last guest, before the next one starts. */
int disk_forget_reason(int dir, struct nt_error *reterr);
/* Moves DATA/ws/ID out of sight, then deletes it; done when it is not there. */
int disk_discard(const struct disk *disk, const char *id, struct nt_error *reterr);
/* Deletes what a server that was killed has left. */
int disk_empty_trash(const struct disk *disk, struct nt_error *reterr);
/* Calls each for every id below DATA/ws. */
int disk_each(const struct disk *disk, void (*each)(void *data, const char *id), void *data,
              struct nt_error *reterr);
/* Deletes name below dir with all that is in it; never follows a link. 0 or errno. */
int disk_delete(int dir, const char *name);

/* --- image.c, skeleton.c: lower layers; workers -------------------------------------------- */

struct image {
    char path[4200]; /* folder with "root" and the layers */
    char base[68];
    bool is_host;
    const char *layers[12]; /* static texts */
    uint32_t layer_count;
};

/* Finds or makes the image; slow the first time. */
int image_ready(const struct disk *disk, const char *name, struct image *ret,
                struct nt_error *reterr);
int skeleton_identity(char ret[68], struct nt_error *reterr);
/* Builds the skeleton as the folder `name` below dir. */
int skeleton_build(int dir, const char *name, bool as_root, struct nt_error *reterr);
/* Puts agent, root and nobody into etc, and what else every workspace needs, below an image's
 * root. */
int image_finish_root(int root, bool as_root, bool whole, struct nt_error *reterr);
extern const char *const image_layer_names[]; /* NULL at the end */

/* --- launch.c: the launcher ---------------------------------------------------------------- */

extern const char *launch_stop_at; /* tests: the launcher is killed before that step; NULL: never */

struct launched {
    pid_t pid;     /* of the launcher; reap it */
    int report_fd; /* SOCK_SEQPACKET, non-blocking */
    int ready_fd;  /* pipe, non-blocking: 'R' from the guest */
};

int launch_spawn(const struct disk *disk, const struct meta *meta, const struct image *image,
                 int dir, struct launched *ret, struct nt_error *reterr);
/* Reads one report: 1, 0 nothing yet, -1 the launcher has ended. ret_fd is -1 without a
 * descriptor. */
int launch_read(int report_fd, struct launch_report *ret, int *ret_fd);
/* Connects to the guest of a workspace: a non-blocking descriptor, or -1. */
int launch_connect(const struct disk *disk, const char *id, struct nt_error *reterr);

/* --- talk.c: one request to the guest ------------------------------------------------------ */

struct talk;
/* Sends one frame and calls done once with the type of the answer (0: lost) and a descriptor or -1
 * (the callee's). */
struct talk *talk_new(struct nt_loop *loop, int fd, struct nt_bytes frame, int64_t deadline_ms,
                      void (*done)(void *data, uint16_t type, int fd), void *data);
/* No callback comes after it. Takes NULL. */
void talk_free(struct talk *talk);

/* --- stream.c: a descriptor as a stream ---------------------------------------------------- */

/* A stream over fd (takes it, also on failure); flags: NT_STREAM_FD | NT_STREAM_PASS_FDS. */
struct nt_stream *stream_new(struct nt_loop *loop, int fd, uint32_t flags, struct nt_error *reterr);
/* Who hears about it; announce: events->open comes later. -1: the stream is gone. */
int stream_handle(struct nt_stream *stream, const struct nt_stream_events *events, void *data,
                  bool announce, struct nt_error *reterr);
/* Gives it to host->accept_stream; what the host does not want is closed. */
void stream_offer(struct nt_stream *stream, const struct nt_engine_host *host, const char *id);

#endif
