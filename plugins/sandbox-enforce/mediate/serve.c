/* SPDX-License-Identifier: Apache-2.0 */
/* serve.c - one command that was asked for: read, judged, and run as `run` runs a program, with
 * what its profile gives it and nothing of what the one who asks has. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mediate.h"
#include "plugins/sandbox-enforce/enforce/enforce.h"
#include "plugins/sandbox-enforce/supervise/inner.h"
#include "protocol.h"
#include "sdk/buf.h"
#include "sdk/cleanup.h"
#include "sdk/error.h"

#define STATUS_REFUSED 126u
#define LINE_MAX_SIZE 4096u

struct serve {
    struct supervise *outer;
    int channel, leash;
    pid_t group;
    struct mediate_head head;
    struct mediate_request request;
    const struct command *command;
    const struct command_edge *edge;
    char **environment, **words; /* words: with the name in front */
    char path[PATH_MAX];         /* what is executed */
    struct memory memory;
};

/* What says who somebody is and where they are at home is never the program's: a command would read
 * its settings where the program has written them. */
static const char *const from_session[] = { "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR",
                                            "LANG", "LC_*", "TERM", "TZ",      "XDG_*", "PWD" };

extern char **environ;

/* --- the end ------------------------------------------------------------------------------- */

/* All of it, or this ends with who asked, or with the session. */
static void send_all(const struct serve *v, const void *bytes, size_t size)
{
    const char *at = bytes;
    struct pollfd fds[] = { { .fd = v->channel, .events = POLLOUT },
                            { .fd = v->leash, .events = POLLIN } };
    while (size) {
        ssize_t n = send(v->channel, at, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN && (poll(fds, 2, -1) < 0 || !fds[1].revents))
            continue;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            _exit(1);
        at += n;
        size -= (size_t)n;
    }
}

static void send_text(const struct serve *v, enum mediate_kind kind, const void *text, size_t size)
{
    const struct mediate_message head = { kind, (uint32_t)size };
    send_all(v, &head, sizeof(head));
    send_all(v, text, size);
}

static _Noreturn void answer(const struct serve *v, enum mediate_kind kind, uint32_t value)
{
    const struct mediate_message end = { kind, value };
    send_all(v, &end, sizeof(end));
    _exit(0);
}

/* A line for the program's standard error. */
static void say(const struct serve *v, const char *act, const char *why, const char *hint)
{
    nt_auto(nt_buf_done) struct nt_buf line = NT_BUF(LINE_MAX_SIZE);
    bool is_nono = v->outer->options.call->personality == NT_AS_NONO;
    nt_buf_add(&line, is_nono ? "nono: command policy " : "nanoterm: command policy ");
    nt_buf_add(&line, act);
    nt_buf_add_char(&line, ' ');
    nt_buf_add(&line, v->command ? v->command->name : "what was asked for");
    nt_buf_add(&line, ": ");
    nt_buf_add_printable(&line, why, false);
    if (hint && *hint) {
        nt_buf_add(&line, " (");
        nt_buf_add_printable(&line, hint, false);
        nt_buf_add_char(&line, ')');
    }
    nt_buf_add_char(&line, '\n');
    if (nt_buf_ok(&line))
        send_text(v, MEDIATE_ERR, line.data, line.size);
}

static _Noreturn void refuse(const struct serve *v, const char *act, const char *why,
                             const char *hint)
{
    say(v, act, why, hint);
    answer(v, MEDIATE_EXITED, STATUS_REFUSED);
}

/* It is no error: the profile wants it so. */
static _Noreturn void deny(const struct serve *v, const char *why, const char *rule)
{
    if (v->command)
        mediate_report_refusal(v->outer->mediate, v->leash, v->command->name, rule);
    refuse(v, "denied", why, rule);
}

static _Noreturn void fail(const struct serve *v, const struct nt_error *e)
{
    refuse(v, "did not start", e->message, *e->hint || !v->edge ? e->hint : v->edge->place);
}

/* --- what was asked for -------------------------------------------------------------------- */

/* All of it, or this ends with who asks, or with the session. */
static void read_all(const struct serve *v, void *ret, size_t size)
{
    struct pollfd fds[] = { { .fd = v->channel, .events = POLLIN },
                            { .fd = v->leash, .events = POLLIN } };
    char *at = ret;
    while (size) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            _exit(1);
        if (fds[1].revents)
            _exit(1);
        ssize_t n = recv(v->channel, at, size, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n <= 0)
            _exit(1);
        at += n;
        size -= (size_t)n;
    }
}

static void read_request(struct serve *v)
{
    read_all(v, &v->head, sizeof(v->head));
    char *bytes = v->head.size <= MEDIATE_SIZE_MAX ? malloc((size_t)v->head.size + 1) : NULL;
    if (!bytes)
        refuse(v, "denied", "the request is too large", NULL);
    read_all(v, bytes, v->head.size);
    if (mediate_parse(&v->head, bytes, &v->request) < 0)
        refuse(v, "denied", "the request is not one of a stand-in", NULL);
}

static void find_command(struct serve *v)
{
    const struct policy *policy = v->outer->options.policy;
    const struct mediate *m = v->outer->mediate;
    struct command_refusal refusal;
    for (size_t i = 0; i < m->place_count && !v->command; i++)
        if (strcmp(m->places[i].path, v->request.file) == 0)
            v->command = m->places[i].command;
    if (!v->command)
        deny(v, "no command of the profile has that file", "command_policies.commands");
    v->edge = command_edge_of(policy->commands, v->command, policy->caller, &refusal);
    if (!v->edge)
        deny(v, refusal.why, refusal.rule);
}

static bool is_from_session(const char *entry)
{
    const struct policy_texts list = { (const char **)(uintptr_t)from_session,
                                       sizeof(from_session) / sizeof(from_session[0]) };
    return command_passes(&list, entry);
}

/* What the command may be told by the program, over what it has of the session. */
static bool is_passed(const struct serve *v, const char *entry)
{
    const struct policy *policy = v->outer->options.policy;
    const struct command *by =
        command_find_by_name(policy->commands, policy->caller, strlen(policy->caller));
    if (is_from_session(entry) || enforce_variable_is_unsafe(entry)
        || strncmp(entry, "NONO_", 5) == 0 || strncmp(entry, "NANOTERM_", 9) == 0)
        return false;
    return command_passes(&v->edge->passed, entry)
           || command_passes(by ? &by->exported : &policy->commands->exported, entry);
}

/* The last of a name counts. Each name once: what is judged is what the command gets. */
static void add_variable(char **environment, size_t *used, char *entry)
{
    size_t size = strcspn(entry, "=") + 1, i = 0;
    while (i < *used && strncmp(environment[i], entry, size) != 0)
        i++;
    environment[i] = entry;
    *used += i == *used;
}

static void make_environment(struct serve *v)
{
    size_t count = 0, used = 0;
    while (environ[count])
        count++;
    for (char **entry = v->request.variables; *entry; entry++)
        count++;
    v->environment = calloc(count + 1, sizeof(*v->environment));
    if (!v->environment)
        refuse(v, "did not start", "out of memory", NULL);
    for (char **entry = environ; *entry; entry++)
        if (is_from_session(*entry))
            add_variable(v->environment, &used, *entry);
    for (char **entry = v->request.variables; *entry; entry++)
        if (is_passed(v, *entry))
            add_variable(v->environment, &used, *entry);
}

static void judge(struct serve *v)
{
    struct command_refusal refusal;
    make_environment(v);
    if (!command_may_start(v->edge, v->request.words, v->environment, &refusal))
        deny(v, refusal.why, refusal.rule);
}

/* --- what is started ----------------------------------------------------------------------- */

static void add_word(struct serve *v, size_t *used, const char *word)
{
    memcpy(&v->words[(*used)++], &word, sizeof(word)); /* execve takes them without const */
}

/* The name, what the profile puts behind it, what was asked for. MORE: the words of an intercept,
 * whose first is the program. */
static void make_words(struct serve *v, const struct policy_texts *more)
{
    size_t count = 2 + v->edge->prepended.count + more->count, used = 0;
    for (char **word = v->request.words; *word; word++)
        count++;
    v->words = calloc(count, sizeof(*v->words));
    if (!v->words)
        refuse(v, "did not start", "out of memory", NULL);
    add_word(v, &used, more->count ? more->at[0] : v->command->name);
    for (size_t i = 1; i < more->count; i++)
        add_word(v, &used, more->at[i]);
    for (size_t i = 0; !more->count && i < v->edge->prepended.count; i++)
        add_word(v, &used, v->edge->prepended.at[i]);
    for (char **word = v->request.words; *word; word++)
        add_word(v, &used, *word);
}

/* The first rule that matches counts. */
static void choose_program(struct serve *v)
{
    static const struct policy_texts none = { NULL, 0 };
    const struct policy *policy = v->outer->options.policy;
    const struct policy_texts *program = &none;
    struct nt_error e = NT_ERROR_INIT;
    for (size_t i = 0; i < v->command->intercept_count; i++) {
        const struct command_intercept *row = &v->command->intercepts[i];
        if (!command_matches(&row->match, v->request.words, v->environment))
            continue;
        if (row->text) {
            send_text(v, MEDIATE_OUT, row->text, strlen(row->text));
            answer(v, MEDIATE_EXITED, 0);
        }
        program = &row->program;
        break;
    }
    make_words(v, program);
    int result = program->count ? mediate_program(policy, v->command, program->at[0], v->path, &e)
                                : mediate_executable(v->outer->mediate, v->command, v->path, &e);
    if (result < 0)
        fail(v, &e);
}

/* --- running it ---------------------------------------------------------------------------- */

/* Where the program is, if that is a folder; whether the command may be there its own grants say.
 */
static const char *folder_of(const struct serve *v)
{
    struct stat st;
    const char *folder = v->request.folder;
    return folder[0] == '/' && stat(folder, &st) == 0 && S_ISDIR(st.st_mode) ? folder : "/";
}

/* Its sandbox, and the right to read what is executed. */
static void make_overlay(struct serve *v, struct profile *ret)
{
    *ret = *v->edge->sandbox;
    struct policy_texts *list = &ret->lists[PROFILE_READ_FILE];
    const struct policy_texts before = *list;
    *list = (struct policy_texts){ NULL, 0 };
    for (size_t i = 0; i < before.count; i++)
        texts_add(&v->memory, list, before.at[i]);
    texts_add_new(&v->memory, list, v->path);
    memcpy(&ret->commands, &v->outer->options.policy->commands, sizeof(ret->commands));
    if (v->memory.failed)
        refuse(v, "did not start", "out of memory", NULL);
}

static void run(struct serve *v, struct nt_error *e)
{
    struct profile overlay;
    struct policy *policy = NULL;
    struct supervise *inner = NULL;
    struct denials *denials = denials_new();
    int status = 0;
    make_overlay(v, &overlay);
    const struct policy_request request = { .overlay = &overlay,
                                            .caller = v->command->name,
                                            .workdir = folder_of(v) };
    if (!denials || policy_make(&request, &policy, e) < 0)
        fail(v, e);
    policy->above = v->outer->options.policy;
    const struct supervise_options options = { .call = v->outer->options.call,
                                               .policy = policy,
                                               .argv = v->words,
                                               .executable = v->path,
                                               .environment = v->environment,
                                               .mediate = v->outer->mediate,
                                               .channel = v->channel,
                                               .leash = v->leash,
                                               .group = v->group,
                                               .ignored = v->head.ignored,
                                               .mask = v->head.mask & 0777,
                                               .weaker = v->outer->options.weaker,
                                               .weaker_count = v->outer->options.weaker_count,
                                               .is_diagnosed = v->outer->options.is_diagnosed,
                                               .is_explained = v->outer->options.is_explained,
                                               .is_silent = true };
    if (supervise_plan(&options, &inner, e) < 0)
        fail(v, e);
    int result = supervise_run(inner, denials, &status, e);
    const int number = inner->run_signal;
    mediate_report(v->outer->mediate, v->leash, v->command->name, v->edge->place, denials);
    supervise_free(inner);
    policy_free(policy);
    denials_free(denials);
    if (result < 0 && e->code == NT_E_CANCELLED)
        _exit(0); /* nobody is there who asked for it */
    if (result < 0)
        fail(v, e);
    answer(v, number ? MEDIATE_KILLED : MEDIATE_EXITED, (uint32_t)(number ? number : status));
}

/* What is open here is the session's. */
static void take_standard(struct serve *v, const int standard[3])
{
    for (int i = 0; i < 3; i++)
        if (dup2(standard[i], i) < 0)
            _exit(1);
    for (int i = 0; i < 3; i++)
        close(standard[i]);
    v->outer->mediate->broker = 0; /* not ours to end */
}

_Noreturn void mediate_serve(struct supervise *outer, int channel, const int standard[3],
                             pid_t group, int leash)
{
    struct serve v = { .outer = outer, .channel = channel, .leash = leash, .group = group };
    struct nt_error e = NT_ERROR_INIT;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    take_standard(&v, standard);
    read_request(&v);
    find_command(&v);
    judge(&v);
    choose_program(&v);
    run(&v, &e);
    _exit(0);
}
