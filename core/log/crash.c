#include <elf.h>
#include <link.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "log/log_int.h"
#include "base/banned.h"

static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
static const char *volatile crumb_instance, *volatile crumb_callback;
static const char *volatile *shared_crumb;
static const char *(*volatile crash_hook)(int signo, const void *address);
static char build_id[41] = "unknown";
static uintptr_t load_address;

void log_crumb(const char *instance, const char *callback)
{
	crumb_instance = instance;
	crumb_callback = callback;
	if (shared_crumb != NULL)
		*shared_crumb = instance;
}

void log_crumb_share(const char *volatile *place)
{
	shared_crumb = place;
}

void log_crash_hook(const char *(*hook)(int signo, const void *address))
{
	crash_hook = hook;
}

static size_t note_size(uint32_t n)
{
	return ((size_t)n + 3) & ~(size_t)3;
}

/* The GNU build id among the ELF notes at p. */
static void read_notes(const unsigned char *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	ElfW(Nhdr) h;

	while (n >= sizeof(h)) {
		size_t size, i;

		memcpy(&h, p, sizeof(h));
		size = sizeof(h) + note_size(h.n_namesz) + note_size(h.n_descsz);
		if (size > n)
			return;
		if (h.n_type == NT_GNU_BUILD_ID && h.n_namesz == 4 && memcmp(p + sizeof(h), "GNU", 4) == 0) {
			const unsigned char *id = p + sizeof(h) + 4;

			for (i = 0; i < h.n_descsz && i < (sizeof(build_id) - 1) / 2; i++) {
				build_id[2 * i] = digits[id[i] >> 4];
				build_id[2 * i + 1] = digits[id[i] & 15];
			}
			build_id[2 * i] = '\0';
			return;
		}
		p += size;
		n -= size;
	}
}

/* Called for the program itself first; the libraries after it are not looked at. */
static int read_program(struct dl_phdr_info *info, size_t size, void *arg)
{
	size_t i;

	(void)size;
	(void)arg;
	load_address = info->dlpi_addr;
	for (i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_NOTE)
			read_notes((const unsigned char *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr),
			    info->dlpi_phdr[i].p_memsz);
	return 1;
}

static uintptr_t program_counter(const void *context)
{
	const ucontext_t *u = context;

#if defined(__x86_64__)
	return (uintptr_t)u->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
	return (uintptr_t)u->uc_mcontext.pc;
#else
	(void)u;
	return 0;
#endif
}

/* Text made without stdio: this runs in a signal handler of a process that is broken. */
struct crash_text {
	char p[640];
	size_t n;
};

static void add(struct crash_text *t, const char *s)
{
	while (*s != '\0' && t->n < sizeof(t->p) - 1)
		t->p[t->n++] = *s++;
	t->p[t->n] = '\0';
}

static void add_hex(struct crash_text *t, uintptr_t v)
{
	char digits[2 * sizeof(v) + 1];
	size_t i = sizeof(digits) - 1;

	digits[i] = '\0';
	do {
		digits[--i] = "0123456789abcdef"[v & 15];
		v >>= 4;
	} while (v != 0);
	add(t, "0x");
	add(t, digits + i);
}

static const char *signal_name(int signo)
{
	return signo == SIGSEGV  ? "SIGSEGV"
	       : signo == SIGBUS ? "SIGBUS"
	       : signo == SIGILL ? "SIGILL"
	       : signo == SIGFPE ? "SIGFPE"
	                         : "SIGABRT";
}

static void emit(const char *text)
{
	struct log_record r;

	log_fill(&r, LOG_LEVEL_ERROR, MSG_CRASH, text);
	log_emit(&r);
}

static void on_crash(int signo, siginfo_t *info, void *context)
{
	static volatile sig_atomic_t entered;
	struct crash_text t = {.n = 0};
	const char *instance = crumb_instance, *callback = crumb_callback;
	uintptr_t pc = program_counter(context);
	const char *done = NULL;

	if (entered++ == 0) {
		add(&t, "crashed: ");
		add(&t, signal_name(signo));
		if (signo != SIGABRT) {
			add(&t, " at address ");
			add_hex(&t, (uintptr_t)info->si_addr);
		}
		add(&t, instance != NULL ? " in module \"" : " in the core");
		if (instance != NULL) {
			add(&t, instance);
			add(&t, "\", callback ");
			add(&t, callback != NULL ? callback : "(none)");
		}
		add(&t, ", pc ");
		add_hex(&t, pc);
		add(&t, ", program at ");
		add_hex(&t, load_address);
		add(&t, ", build id ");
		add(&t, build_id);
		emit(t.p);
		if (crash_hook != NULL)
			done = crash_hook(signo, signo == SIGSEGV || signo == SIGBUS ? info->si_addr : NULL);
		if (done != NULL)
			emit(done);
	}
	/* The default action now: a core dump where the administrator wants one. */
	signal(signo, SIG_DFL);
	raise(signo);
}

void log_catch_crashes(void)
{
	static bool done;
	struct sigaction sa = {
	    .sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND | SA_NODEFER};
	stack_t stack = {.ss_size = 64 * 1024};
	size_t i;

	if (done || strcmp(MORTISE_FLAVOUR, "sanitizer") == 0)
		return;
	done = true;
	dl_iterate_phdr(read_program, NULL);
	/* Its own stack, so that a stack overflow can be told too. Kept until the process ends. */
	stack.ss_sp = mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stack.ss_sp == MAP_FAILED || sigaltstack(&stack, NULL) != 0)
		sa.sa_flags &= ~SA_ONSTACK;
	sigemptyset(&sa.sa_mask);
	for (i = 0; i < ARRAY_LEN(crash_signals); i++)
		sigaction(crash_signals[i], &sa, NULL);
}
