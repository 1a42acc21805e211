/* Plugin for QEMU's emulation of programs: print on standard error how many instructions were executed so far, at each
 * call of getppid(2) and at the end. All threads count. The functions are those of qemu-plugin.h, version 1, which
 * Debian does not package.
 *
 * gcc -shared -fPIC -O2 -o count.so count.c
 * qemu-aarch64 -plugin ./count.so ...
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define EXPORTED __attribute__((visibility("default")))
#define GETPPID 173 /* arm64 */

typedef uint64_t plugin_t;
typedef uint64_t argument_t;
struct block;

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_t, void (*)(plugin_t, struct block *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct block *, void (*)(unsigned, void *), int, void *);
size_t qemu_plugin_tb_n_insns(const struct block *);
void qemu_plugin_register_vcpu_syscall_cb(plugin_t, void (*)(plugin_t, unsigned, int64_t, argument_t, argument_t,
    argument_t, argument_t, argument_t, argument_t, argument_t, argument_t));
void qemu_plugin_register_atexit_cb(plugin_t, void (*)(plugin_t, void *), void *);

EXPORTED int qemu_plugin_version = 1;
static uint64_t count;

static void print(void) { fprintf(stderr, "instructions %llu\n", (unsigned long long)count); }

static void executed(unsigned cpu, void *instructions) {
    __atomic_fetch_add(&count, (uint64_t)(uintptr_t)instructions, __ATOMIC_RELAXED);
}

static void translated(plugin_t id, struct block *block) {
    qemu_plugin_register_vcpu_tb_exec_cb(block, executed, 0, (void *)(uintptr_t)qemu_plugin_tb_n_insns(block));
}

static void called(plugin_t id, unsigned cpu, int64_t number, argument_t a, argument_t b, argument_t c, argument_t d,
                   argument_t e, argument_t f, argument_t g, argument_t h) {
    if (number == GETPPID) print();
}

static void ended(plugin_t id, void *unused) { print(); }

EXPORTED int qemu_plugin_install(plugin_t id, const void *about, int argc, char **argv) {
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
