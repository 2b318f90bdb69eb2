/* A libnvidia-ml.so.1 of two GPUs, for the worker that loads it: the first answers, the second has fallen off the bus.
   -DCRASH, -DHANG, -DNOISE, -DNO_DRIVER, -DQUIT choose how it misbehaves, -DHANG_AT, -DCRASH_AT, -DQUIT_AT how it does over the second
   GPU alone (-DFOLDER="…": it hangs while the file `gate` is there, and notes each opening in `opened`), -DOLD_FABRIC that it is
   older than 580, -DSICK that the first GPU is ill in each way that there is a field for, -DLEAK that it takes memory without an end,
   -DFORK that it leaves three processes behind (their numbers in `forked`), -DFORK_AND_HANG that it hangs then. Functions that are left out are those that an older driver lacks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OK = 0, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9, GPU_LOST = 15 };
typedef unsigned int uint;
typedef unsigned long long u64;
struct device { int kind; };
static struct device good = {1}, lost = {2}, mig = {3}, unplaced = {4}, third = {5};

#define GOOD(d) do { if ((d)->kind == 2) return GPU_LOST; if ((d)->kind != 1) return NOT_SUPPORTED; } while (0)
#define TEXT(to, size, text) (snprintf((to), (size), "%s", (text)), OK)

#if defined FORK || defined FORK_AND_HANG
/* Says who it is, lets its parent go on, and stays. */
static void stay(int said) {
    FILE *forked = fopen(FOLDER "/forked", "a");
    if (forked) { fprintf(forked, "%d\n", getpid()); fclose(forked); }
    write(said, "x", 1);
    for (;;) pause();
}
static void leave_behind(int session, int twice) {
    int said[2];
    char byte;
    if (pipe(said)) abort();
    pid_t child = fork();
    if (child == 0) {
        if (session) setsid();
        if (twice && fork()) _exit(0);
        stay(said[1]);
    }
    close(said[1]);
    read(said[0], &byte, 1);
    close(said[0]);
    if (twice) waitpid(child, NULL, 0);
}
#endif
int nvmlInit_v2(void) {
#if defined FORK || defined FORK_AND_HANG
    leave_behind(0, 0);
    leave_behind(1, 0);
    leave_behind(1, 1);
#endif
#ifdef FORK_AND_HANG
    for (;;) pause();
#endif
#ifdef LEAK
    /* No more than this, so that a host without a limit is not harmed. */
    for (int mib = 0; mib < 2048; mib++) {
        char *leak = malloc(1 << 20);
        memset(leak, 1, 1 << 20);
    }
#endif
#ifdef CRASH
    *(volatile int *)0 = 1;
#endif
#ifdef HANG
    for (;;) pause();
#endif
#ifdef NOISE
    printf("library: {\"report\": \"this is no answer\"}\nlibrary: more noise without an end");
#endif
#ifdef QUIT
    fprintf(stderr, "library: giving up\n");
    exit(5);
#endif
#ifdef NO_DRIVER
    return DRIVER_NOT_LOADED;
#endif
    return OK;
}
int nvmlShutdown(void) { return OK; }
int nvmlSystemGetDriverVersion(char *to, uint size) { return TEXT(to, size, "580.105.08"); }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 13000; return OK; }
int nvmlSystemGetProcessName(uint pid, char *to, uint size) { return pid == 77 ? TEXT(to, size, "/usr/bin/python3") : NOT_FOUND; }
int nvmlDeviceGetCount_v2(uint *count) { *count = 3; return OK; }
static void open_second(void) {
#ifdef HANG_AT
    FILE *opened = fopen(FOLDER "/opened", "a");
    if (opened) { fprintf(opened, "%d\n", getpid()); fclose(opened); }
    while (!access(FOLDER "/gate", F_OK)) usleep(1000);
#endif
#ifdef CRASH_AT
    *(volatile int *)0 = 1;
#endif
#ifdef QUIT_AT
    exit(5);
#endif
}
int nvmlDeviceGetHandleByIndex_v2(uint index, struct device **to) {
    if (index == 2) return NO_PERMISSION;
    if (index == 1) open_second();
    *to = index == 0 ? &good : &lost;
    return OK;
}
int nvmlDeviceGetHandleByPciBusId_v2(const char *address, struct device **to) {
    if (!strcmp(address, "0000:41:00.0")) *to = &good;
    else if (!strcmp(address, "0000:42:00.0")) { open_second(); *to = &lost; }
    else if (!strcmp(address, "0000:43:00.0")) *to = &third;
    else return NOT_FOUND;
    return OK;
}
struct pci { char legacy[16]; uint domain, bus, device, id, subsystem; char text[32]; };
int nvmlDeviceGetPciInfo_v3(struct device *d, struct pci *to) {
    memset(to, 0, sizeof *to);
    to->id = 0x20b010de; to->subsystem = 0x134f10de;
    return TEXT(to->text, sizeof to->text, d->kind == 1 ? "00000000:41:00.0" : d->kind == 5 ? "00000000:43:00.0" : "00000000:42:00.0");
}
int nvmlDeviceGetUUID(struct device *d, char *to, uint size) {
    const char *text[] = {"", "GPU-11111111-2222-3333-4444-555555555555", "GPU-99999999-2222-3333-4444-555555555555",
                          "MIG-GPU-11111111-2222-3333-4444-555555555555/7/0", "MIG-5d2a8f5c-1b1e-4f8e-9c3a-0d7e6f5a4b3c",
                          "GPU-77777777-2222-3333-4444-555555555555"};
    return TEXT(to, size, text[d->kind]);
}
int nvmlDeviceGetName(struct device *d, char *to, uint size) {
    return TEXT(to, size, d->kind == 3 || d->kind == 4 ? "NVIDIA A100-SXM4-40GB MIG 1g.5gb" : "NVIDIA A100-SXM4-40GB");
}
int nvmlDeviceGetIndex(struct device *d, uint *to) { *to = (uint)d->kind - 1; return OK; }
int nvmlDeviceGetMinorNumber(struct device *d, uint *to) { GOOD(d); *to = 3; return OK; }
int nvmlDeviceGetSerial(struct device *d, char *to, uint size) { GOOD(d); return TEXT(to, size, "1562821003218"); }
int nvmlDeviceGetVbiosVersion(struct device *d, char *to, uint size) { GOOD(d); return TEXT(to, size, "bad\nversion"); }
int nvmlDeviceGetBrand(struct device *d, uint *to) { GOOD(d); *to = 14; return OK; }
int nvmlDeviceGetArchitecture(struct device *d, uint *to) { GOOD(d); *to = 7; return OK; }
int nvmlDeviceGetCudaComputeCapability(struct device *d, int *major, int *minor) { GOOD(d); *major = 8; *minor = 0; return OK; }
int nvmlDeviceGetPersistenceMode(struct device *d, uint *to) { GOOD(d); *to = 1; return OK; }
int nvmlDeviceGetVirtualizationMode(struct device *d, uint *to) { GOOD(d); *to = 3; return OK; }
int nvmlDeviceGetMigMode(struct device *d, uint *current, uint *pending) { GOOD(d); *current = 1; *pending = 0; return OK; }
int nvmlDeviceGetMaxMigDeviceCount(struct device *d, uint *to) { GOOD(d); *to = 7; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(struct device *d, uint index, struct device **to) {
    GOOD(d);
    if (index == 1) return NOT_FOUND;
    if (index > 2) return NOT_FOUND;
    *to = index == 0 ? &mig : &unplaced;
    return OK;
}
struct attributes { uint sm, ce, dec, enc, jpeg, ofa, gi, ci; u64 mib; };
int nvmlDeviceGetAttributes_v2(struct device *d, struct attributes *to) {
    if (d->kind != 3) return NOT_SUPPORTED;
    *to = (struct attributes){14, 1, 0, 0, 0, 0, 1, 1, 4864};
    return OK;
}
struct memory { uint version; u64 total, reserved, free, used; };
int nvmlDeviceGetMemoryInfo_v2(struct device *d, struct memory *to) {
    if (d->kind == 2) return GPU_LOST;
    u64 mib = 1 << 20, total = d->kind >= 3 ? 4864 : 40960;
    to->total = total * mib; to->reserved = 571 * mib; to->free = (total - 571 - 13) * mib; to->used = 13 * mib + 7;
    return OK;
}
int nvmlDeviceGetTemperature(struct device *d, uint sensor, uint *to) { GOOD(d); (void)sensor; *to = 31; return OK; }
int nvmlDeviceGetUtilizationRates(struct device *d, uint *to) { GOOD(d); return NOT_SUPPORTED; }
int nvmlDeviceGetEncoderUtilization(struct device *d, uint *to, uint *period) { GOOD(d); *to = 5; *period = 1; return OK; }
int nvmlDeviceGetPowerUsage(struct device *d, uint *to) { GOOD(d); *to = 43210; return OK; }
int nvmlDeviceGetEnforcedPowerLimit(struct device *d, uint *to) { GOOD(d); *to = 400000; return OK; }
int nvmlDeviceGetPerformanceState(struct device *d, uint *to) { GOOD(d); *to = 8; return OK; }
int nvmlDeviceGetEccMode(struct device *d, uint *current, uint *pending) { GOOD(d); *current = 1; *pending = 1; return OK; }
int nvmlDeviceGetTotalEccErrors(struct device *d, uint kind, uint counter, u64 *to) { GOOD(d); *to = kind * 10 + counter; return OK; }
int nvmlDeviceGetClockInfo(struct device *d, uint kind, uint *to) { GOOD(d); *to = kind == 1 ? 1410 : kind == 2 ? 1215 : 0; return OK; }
int nvmlDeviceGetCurrentClocksThrottleReasons(struct device *d, u64 *to) { GOOD(d); *to = 0x1 | 0x4 | 0x100000000ull; return OK; }
int nvmlDeviceGetFanSpeed_v2(struct device *d, uint fan, uint *to) { GOOD(d); (void)fan; *to = 30; return OK; }
int nvmlDeviceGetMaxPcieLinkGeneration(struct device *d, uint *to) { GOOD(d); *to = 4; return OK; }
int nvmlDeviceGetMaxPcieLinkWidth(struct device *d, uint *to) { GOOD(d); *to = 16; return OK; }
int nvmlDeviceGetCurrPcieLinkGeneration(struct device *d, uint *to) { GOOD(d); *to = 4; return OK; }
int nvmlDeviceGetCurrPcieLinkWidth(struct device *d, uint *to) { GOOD(d); *to = 16; return OK; }
struct process { uint pid; u64 memory; uint gi, ci; };
static int list(uint *count, struct process *to, struct process one) {
    if (*count < 1) { *count = 1; return INSUFFICIENT_SIZE; }
    *count = 1; to[0] = one;
    return OK;
}
int nvmlDeviceGetComputeRunningProcesses_v3(struct device *d, uint *count, struct process *to) {
    GOOD(d); return list(count, to, (struct process){77, 512ull << 20, ~0u, ~0u});
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(struct device *d, uint *count, struct process *to) {
    GOOD(d); return list(count, to, (struct process){77, 512ull << 20, ~0u, ~0u});
}
/* What speaks of its health: each fact has a value of its own. */
#if defined SICK || defined OLD_FABRIC
#define ILL(value) (value)
#else
#define ILL(value) 0
#endif
struct field { uint id, scope; long long at, took; uint type, code; union { uint u; u64 ull; } value; };
int nvmlDeviceGetFieldValues(struct device *d, int count, struct field *f) {
    GOOD(d);
    for (int i = 0; i < count; i++) {
        f[i].code = OK; f[i].type = 1; f[i].value.ull = 0;
        switch (f[i].id) {
        case 142: f[i].value.u = ILL(3); break;      /* remapped rows: correctable */
        case 143: f[i].value.u = ILL(2); break;      /* uncorrectable */
        case 144: f[i].value.u = ILL(1); break;      /* pending */
        case 145: f[i].value.u = 0; break;           /* failure */
        case 29: f[i].value.u = ILL(5); break;       /* retired pages: single bit */
        case 30: f[i].type = 3; f[i].value.ull = ILL(4); break; /* double bit, as a long number */
        case 226: f[i].value.u = ILL(1); break;           /* reset status */
        case 227: f[i].value.u = 0; break;           /* drain and reset status */
        case 230: f[i].value.u = ILL(2); break;           /* recovery action */
        default: f[i].code = NOT_SUPPORTED;
        }
    }
    return OK;
}
int nvmlDeviceGetRetiredPagesPendingStatus(struct device *d, uint *to) { GOOD(d); *to = 0; return OK; }
#define VERSION(type, number) ((uint)sizeof(type) | (number) << 24)
struct repair { uint version, channel, tpc; };
int nvmlDeviceGetRepairStatus(struct device *d, struct repair *to) {
    GOOD(d);
    if (to->version != VERSION(struct repair, 1)) return 25;
    to->channel = 0; to->tpc = ILL(1);
    return OK;
}
struct sram { uint version; u64 counts[11]; uint exceeded; };
int nvmlDeviceGetSramEccErrorStatus(struct device *d, struct sram *to) {
    GOOD(d);
    if (to->version != VERSION(struct sram, 1)) return 25;
    to->exceeded = ILL(1);
    return OK;
}
struct fabric { uint version; unsigned char cluster[16]; uint status, clique; unsigned char state; uint mask; };
int nvmlDeviceGetGpuFabricInfoV(struct device *d, void *to) {
    GOOD(d);
    struct fabric *f = to;
#ifdef OLD_FABRIC
    if (f->version != VERSION(struct fabric, 2)) return 25;
#else
    struct { uint version; unsigned char cluster[16]; uint status, clique; unsigned char state; uint mask; unsigned char summary; } *n = to;
    if (f->version != VERSION(*n, 3)) return 25;
    n->summary = ILL(1) + 1;
#endif
    f->status = 0; f->state = 3; f->mask = 2 | 2 << 2 | (2 - ILL(1)) << 4 | 2 << 6 | 1 << 8;
    return OK;
}
