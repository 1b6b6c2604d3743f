#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/checksum.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/pack.h"
#include "base/secure.h"
#include "base/vec.h"
#include "base/banned.h"

/* Whether f dies of SIGABRT: what an ASSERT does. */
static bool aborts(void (*f)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		if (freopen("/dev/null", "w", stderr) == NULL)
			_exit(2);
		f();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void arena_memory_is_zeroed_and_aligned(void **state)
{
	struct arena *a = arena_new("test");
	size_t i, k;

	(void)state;
	for (i = 0; i < 5000; i++) {
		unsigned char *p = arena_alloc(a, i % 700);

		assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
		for (k = 0; k < i % 700; k++)
			assert_int_equal(p[k], 0);
		memset(p, 0xff, i % 700);
		if (i % 1000 == 999)
			arena_clear(a); /* what was used must be zeroed again */
	}
	assert_true(arena_size(a) > 0);
	arena_free(&a);
	assert_null(a);
	arena_free(&a);
}

static void arena_marks_release_what_came_after(void **state)
{
	struct arena *a = arena_new("test");
	char *before = arena_strdup(a, "before"), *p;
	struct arena_mark m = arena_mark(a), empty;
	size_t size = arena_size(a), i;

	(void)state;
	for (i = 0; i < 100; i++)
		memset(arena_alloc(a, 5000), 1, 5000);
	assert_true(arena_size(a) > size);
	arena_release(a, m);
	assert_int_equal(arena_size(a), size);
	assert_string_equal(before, "before");
	p = arena_alloc(a, 100);
	for (i = 0; i < 100; i++)
		assert_int_equal(p[i], 0);
	arena_free(&a);
	a = arena_new("empty");
	empty = arena_mark(a);
	arena_alloc(a, 10);
	arena_release(a, empty);
	assert_int_equal(arena_size(a), 0);
	arena_free(&a);
}

static void a_large_arena_block_is_not_kept(void **state)
{
	struct arena *a = arena_new_secret("test");

	(void)state;
	arena_alloc(a, 1 << 20);
	arena_clear(a);
	assert_int_equal(arena_size(a), 0);
	arena_free(&a);
}

static void arena_texts(void **state)
{
	struct arena *a = arena_new("test");
	struct str s = arena_str(a, STR("a\0b"));

	(void)state;
	assert_int_equal(s.n, 3);
	assert_int_equal(s.p[3], '\0');
	assert_string_equal(arena_printf(a, "%d-%s", 5, "x"), "5-x");
	assert_string_equal(arena_strndup(a, "abcdef", 3), "abc");
	assert_string_equal(arena_strndup(a, NULL, 0), "");
	assert_memory_equal(arena_dup(a, "xyz", 3), "xyz", 3);
	arena_free(&a);
}

static void array_of_too_many(void)
{
	struct arena *a AUTO_ARENA = arena_new("x");

	arena_array(a, SIZE_MAX / 4, 8);
}

static void wrong_object(void)
{
	char fake[512] = {0};

	arena_alloc((struct arena *)(void *)fake, 1);
}

static void the_impossible_stops_the_process(void **state)
{
	(void)state;
	assert_true(aborts(array_of_too_many));
	assert_true(aborts(wrong_object));
}

static void strings_compare(void **state)
{
	(void)state;
	assert_true(str_eq(STR_NONE, STR("")));
	assert_true(str_ieq(STR("InBoX"), STR("inbox")));
	assert_false(str_ieq(STR("\xc4"), STR("\xe4"))); /* ASCII only */
	assert_true(str_cmp(STR("a"), STR("ab")) < 0);
	assert_true(str_cmp(STR("b"), STR("ab")) > 0);
	assert_true(str_cmp(STR("\xff"), STR("a")) > 0);
	assert_int_equal(str_icmp(STR("ABC"), STR("abc")), 0);
	assert_true(str_icmp(STR("_"), STR("A")) < 0);
	assert_true(str_starts(STR("abc"), STR("ab")));
	assert_false(str_starts(STR("a"), STR("ab")));
	assert_true(str_istarts(STR("ABc"), STR("ab")));
	assert_true(str_ends(STR("abc"), STR("bc")));
	assert_false(str_ends(STR("c"), STR("bc")));
	assert_true(str_eqc(STR_NONE, NULL));
}

static void strings_are_cut(void **state)
{
	struct str rest = STR("a,,b");

	(void)state;
	assert_true(str_eqc(str_cut(&rest, ','), "a"));
	assert_true(str_eqc(str_cut(&rest, ','), ""));
	assert_non_null(rest.p);
	assert_true(str_eqc(str_cut(&rest, ','), "b"));
	assert_null(rest.p);
	rest = STR("x,");
	str_cut(&rest, ',');
	assert_non_null(rest.p); /* an empty last part is one */
	assert_int_equal(rest.n, 0);
	assert_true(str_eqc(str_sub(STR("abc"), 1, SIZE_MAX), "bc"));
	assert_int_equal(str_sub(STR("abc"), 9, 1).n, 0);
	assert_null(str_sub(STR_NONE, 3, 3).p);
	assert_true(str_eqc(str_trim(STR(" \t\r\n a b \n")), "a b"));
	assert_int_equal(str_trim(STR("  ")).n, 0);
	assert_int_equal(str_find(STR("abc"), 'c'), 2);
	assert_int_equal(str_find(STR_NONE, 'c'), 0);
	assert_int_equal(str_search(STR("abcabd"), STR("abd")), 3);
	assert_true(str_search(STR("abc"), STR("x")) == SIZE_MAX);
	assert_int_equal(str_search(STR_NONE, STR("")), 0);
}

static void numbers_do_not_overflow(void **state)
{
	uint64_t v = 7;
	uint32_t w = 7;

	(void)state;
	assert_true(str_u64(STR("18446744073709551615"), &v) && v == UINT64_MAX);
	assert_false(str_u64(STR("18446744073709551616"), &v));
	assert_false(str_u64(STR("99999999999999999999999999"), &v));
	assert_true(v == UINT64_MAX); /* untouched */
	assert_true(str_u64(STR("00000000000000000000000000000012"), &v) && v == 12);
	assert_false(str_u64(STR(""), &v));
	assert_false(str_u64(STR("-1"), &v));
	assert_false(str_u64(STR("+1"), &v));
	assert_false(str_u64(STR(" 1"), &v));
	assert_false(str_u64(STR("1a"), &v));
	assert_false(str_u64(STR("1\0"), &v));
	assert_true(str_u32(STR("4294967295"), &w) && w == UINT32_MAX);
	assert_false(str_u32(STR("4294967296"), &w));
}

static void utf8_is_strict(void **state)
{
	static const struct {
		struct str text;
		size_t n;
		uint32_t c;
	} cases[] = {{STR_INIT("a"), 1, 'a'}, {STR_INIT("\0"), 1, 0}, {STR_INIT("\xc2\x80"), 2, 0x80},
	    {STR_INIT("\xdf\xbf"), 2, 0x7ff}, {STR_INIT("\xe0\xa0\x80"), 3, 0x800},
	    {STR_INIT("\xef\xbf\xbf"), 3, 0xffff}, {STR_INIT("\xf0\x90\x80\x80"), 4, 0x10000},
	    {STR_INIT("\xf4\x8f\xbf\xbf"), 4, 0x10ffff}, {STR_INIT(""), 0, 0}, {STR_INIT("\x80"), 0, 0},
	    {STR_INIT("\xc1\xbf"), 0, 0}, {STR_INIT("\xc2"), 0, 0}, {STR_INIT("\xc2 "), 0, 0},
	    {STR_INIT("\xe0\x9f\xbf"), 0, 0}, {STR_INIT("\xed\xa0\x80"), 0, 0},
	    {STR_INIT("\xf0\x8f\xbf\xbf"), 0, 0}, {STR_INIT("\xf4\x90\x80\x80"), 0, 0},
	    {STR_INIT("\xf8\x88\x80\x80\x80"), 0, 0}, {STR_INIT("\xff"), 0, 0}};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		uint32_t c = 0;

		assert_int_equal(str_utf8(cases[i].text, &c), cases[i].n);
		assert_int_equal(c, cases[i].c);
	}
}

#define BUCKETS 1024u

/* The hash as somebody knows it who does not know the key. */
static uint64_t public_hash(struct str s)
{
	uint64_t h = 0xcbf29ce484222325u;
	size_t i;

	for (i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	return h ^ h >> 32;
}

/* attack-098: names that were chosen to fall into one bucket do not, with the key of this process. */
static void chosen_names_do_not_collide(void **state)
{
	unsigned used[BUCKETS] = {0}, found = 0, most = 0;
	char name[24];
	unsigned i;

	(void)state;
	for (i = 0; found < BUCKETS; i++) {
		struct str s = str_mem(name, (size_t)snprintf(name, sizeof(name), "name%u", i));
		unsigned *bucket;

		if (public_hash(s) % BUCKETS != 0)
			continue;
		found++;
		bucket = &used[str_hash(s) % BUCKETS];
		most = ++*bucket > most ? *bucket : most;
	}
	assert_true(most < 16);
}

static void hashes_and_distances(void **state)
{
	char far[65];

	(void)state;
	memset(far, 'x', sizeof(far));
	assert_true(str_hash(STR("a")) == str_hash(STR("a")));
	assert_true(str_hash(STR("a")) != str_hash(STR("b")));
	assert_int_equal(str_distance(STR("max_mesages"), STR("max_messages")), 1);
	assert_int_equal(str_distance(STR("ab"), STR("ba")), 1);
	assert_int_equal(str_distance(STR("kitten"), STR("sitting")), 3);
	assert_int_equal(str_distance(STR(""), STR("abc")), 3);
	assert_int_equal(str_distance(STR("abc"), STR("")), 3);
	assert_int_equal(str_distance(STR("same"), STR("same")), 0);
	assert_int_equal(str_distance(str_mem(far, 65), STR("x")), 64);
	assert_int_equal(str_distance(str_mem(far, 64), str_mem(far, 63)), 1);
}

static void buffers_grow_and_keep_their_limit(void **state)
{
	struct buf b = BUF_INIT;
	char big[3000];
	size_t i;

	(void)state;
	assert_string_equal(buf_cstr(&b), "");
	for (i = 0; i < 10000; i++)
		buf_addc(&b, (char)('a' + i % 26));
	assert_int_equal(b.n, 10000);
	assert_int_equal(b.p[b.n], '\0');
	buf_consume(&b, 9999);
	assert_int_equal(b.n, 1);
	buf_truncate(&b, 0);
	buf_addu(&b, UINT64_MAX);
	buf_addu(&b, 0);
	assert_string_equal(b.p, "184467440737095516150");
	buf_reset(&b);
	memset(big, 'y', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	buf_printf(&b, "<%s>", big);
	assert_int_equal(b.n, sizeof(big) + 1);
	buf_free(&b);
	b.limit = 10;
	buf_adds(&b, "12345678");
	assert_false(b.overflow);
	buf_adds(&b, "90123");
	assert_true(b.overflow);
	assert_string_equal(b.p, "1234567890");
	buf_adds(&b, "x");
	assert_int_equal(b.n, 10);
	buf_reset(&b);
	assert_false(b.overflow);
	assert_int_equal(b.limit, 10);
	buf_wipe(&b);
	assert_null(b.p);
}

static void a_large_buffer_is_given_back(void **state)
{
	struct buf b AUTO_BUF = BUF_INIT;

	(void)state;
	buf_reserve(&b, 1 << 20);
	buf_adds(&b, "x");
	buf_reset(&b);
	assert_int_equal(b.cap, 0);
	buf_adds(&b, "y");
	buf_reset(&b);
	assert_true(b.cap > 0);
	assert_string_equal(b.p, "");
}

static void vectors(void **state)
{
	VEC(uint32_t) v = VEC_INIT;
	uint32_t i;

	(void)state;
	for (i = 0; i < 1000; i++)
		*vec_push(&v) = i;
	assert_int_equal(*vec_last(&v), 999);
	vec_remove(&v, 0);
	assert_int_equal(v.v[0], 1);
	assert_int_equal(v.n, 999);
	*vec_insert(&v, 1) = 77;
	assert_int_equal(v.v[1], 77);
	assert_int_equal(v.v[2], 2);
	assert_int_equal(*vec_last(&v), 999);
	vec_reserve(&v, 5000);
	assert_true(v.cap >= 5000);
	assert_int_equal(v.v[1], 77);
	vec_clear(&v);
	assert_int_equal(v.n, 0);
	vec_free(&v);
	assert_null(v.v);
}

static void the_first_error_stays(void **state)
{
	struct err e = ERR_INIT, other = ERR_INIT;
	char text[1000];

	(void)state;
	assert_int_equal(err_fault(&e, MORTISE_E_IO, "read %s", "/secret/path"), MORTISE_E_IO);
	assert_string_equal(e.admin, "read /secret/path");
	assert_string_equal(e.client, "Input/output error"); /* the client does not see the path */
	assert_int_equal(err_fail(&e, MORTISE_E_LIMIT, "later"), MORTISE_E_LIMIT);
	assert_int_equal(e.code, MORTISE_E_IO);
	err_fail(&other, MORTISE_E_LIMIT, "bad\r\nA1 OK %s", "x\x7f");
	assert_string_equal(other.client, "bad??A1 OK x?"); /* one line */
	assert_int_equal(err_take(&e, &other), MORTISE_E_IO);
	assert_int_equal(other.code, 0);
	err_clear(&e);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	err_fail(&e, MORTISE_E_LIMIT, "%s", text);
	assert_int_equal(strlen(e.client), sizeof(e.client) - 1);
	err_clear(&e);
	errno = ENOENT;
	assert_int_equal(err_errno(&e, "%s", text), MORTISE_E_NOTFOUND);
	assert_int_equal(strlen(e.admin), sizeof(e.admin) - 1);
	err_clear(&e);
	errno = ENOSPC;
	assert_int_equal(err_errno(&e, "write x"), MORTISE_E_QUOTA);
	assert_string_equal(e.admin, "write x: No space left on device");
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(err_take(&other, &e), MORTISE_E_QUOTA);
	assert_string_equal(other.admin, "write x: No space left on device");
	assert_int_equal(err_code_of_errno(EXDEV), MORTISE_E_PERM);
	assert_int_equal(err_code_of_errno(EMFILE), MORTISE_E_TEMP);
	assert_int_equal(err_code_of_errno(9999), MORTISE_E_IO);
}

/* RFC 4648 §10, and what a strict decoder refuses. */
static void base64(void **state)
{
	static const char *const vectors_of_rfc[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="},
	    {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
	static const char *const bad[] = {"Z", "Zg", "Zg=", "Zg===", "=",
	    "====", "Z===", "Zg==Zg==", "Zm9v\n", " Zg=", "Zh==", "Zm9=", "Z-8=", "Zm8",
	    "Z=8=", "=m8=", "Zm9vZ"};
	struct buf b AUTO_BUF = BUF_INIT;
	unsigned char all[256], i = 0;
	size_t k;

	(void)state;
	for (k = 0; k < ARRAY_LEN(vectors_of_rfc); k++) {
		buf_reset(&b);
		base64_encode(&b, str_of(vectors_of_rfc[k][0]));
		assert_string_equal(buf_cstr(&b), vectors_of_rfc[k][1]);
		buf_reset(&b);
		assert_true(base64_decode(&b, str_of(vectors_of_rfc[k][1])));
		assert_string_equal(buf_cstr(&b), vectors_of_rfc[k][0]);
	}
	for (k = 0; k < ARRAY_LEN(bad); k++) {
		buf_reset(&b);
		buf_adds(&b, "kept");
		assert_false(base64_decode(&b, str_of(bad[k])));
		assert_string_equal(b.p, "kept");
	}
	assert_false(base64_decode(&b, STR("Zm9\0")));
	do
		all[i] = i;
	while (++i != 0);
	for (k = 0; k <= sizeof(all); k++) {
		struct buf text AUTO_BUF = BUF_INIT, back AUTO_BUF = BUF_INIT;

		base64_encode(&text, str_mem(all, k));
		assert_true(base64_decode(&back, buf_str(&text)));
		assert_true(str_eq(buf_str(&back), str_mem(all, k)));
	}
}

static void hexadecimal(void **state)
{
	struct buf b AUTO_BUF = BUF_INIT;

	(void)state;
	assert_true(hex_decode(&b, STR("00fF1A")));
	assert_true(str_eq(buf_str(&b), STR("\0\xff\x1a")));
	assert_false(hex_decode(&b, STR("0")));
	assert_false(hex_decode(&b, STR("0g")));
	assert_int_equal(b.n, 3);
}

static void messages_between_roles(void **state)
{
	struct buf b AUTO_BUF = BUF_INIT;
	struct arena *a AUTO_ARENA = arena_new("test");
	struct unpack u;
	struct str s;

	(void)state;
	pack_start(&b, 0x4242);
	pack_u32(&b, 7);
	pack_u64(&b, UINT64_MAX);
	pack_str(&b, STR("a\0b"));
	pack_str(&b, STR_NONE);
	pack_str(&b, STR(""));
	pack_cstr(&b, "text");
	assert_int_equal(unpack_start(&u, b.p, b.n), 0x4242);
	assert_int_equal(unpack_u32(&u), 7);
	assert_true(unpack_u64(&u) == UINT64_MAX);
	assert_true(str_eq(unpack_str(&u), STR("a\0b")));
	assert_null(unpack_str(&u).p); /* absent is not empty */
	s = unpack_str(&u);
	assert_non_null(s.p);
	assert_int_equal(s.n, 0);
	assert_string_equal(unpack_cstr(&u, a), "text");
	assert_true(unpack_done(&u));
}

/* attack-143: truncated, garbled, mistyped and overlong messages. */
static void bad_messages_are_noticed(void **state)
{
	struct buf b AUTO_BUF = BUF_INIT;
	struct arena *a AUTO_ARENA = arena_new("test");
	struct unpack u;
	size_t n, bit;

	(void)state;
	pack_start(&b, 1);
	pack_u32(&b, 7);
	pack_str(&b, STR("abc"));
	for (n = 0; n < b.n; n++) {
		unpack_start(&u, b.p, n);
		unpack_u32(&u);
		unpack_str(&u);
		assert_false(unpack_done(&u));
	}
	unpack_start(&u, b.p, b.n); /* left over */
	unpack_u32(&u);
	assert_false(unpack_done(&u));
	unpack_start(&u, b.p, b.n); /* another type than was sent */
	assert_true(unpack_u64(&u) == 0);
	assert_null(unpack_str(&u).p); /* and everything after it is empty */
	assert_int_equal(unpack_u32(&u), 0);
	assert_false(unpack_done(&u));
	for (bit = 0; bit < b.n * 8; bit++) { /* never outside the message, under a sanitizer */
		char *copy = mem_dup(b.p, b.n);

		copy[bit / 8] ^= (char)(1 << bit % 8);
		unpack_start(&u, copy, b.n);
		unpack_u32(&u);
		unpack_cstr(&u, a);
		unpack_done(&u);
		mem_free(copy);
	}
	pack_start(&b, 1);
	pack_str(&b, STR("a\0b"));
	unpack_start(&u, b.p, b.n);
	assert_null(unpack_cstr(&u, a)); /* a NUL would cut a name short */
	assert_false(unpack_done(&u));
}

static void random_and_constant_time(void **state)
{
	unsigned seen = 0, i;
	uint64_t a = 0, b = 0;

	(void)state;
	secure_random(&a, sizeof(a));
	secure_random(&b, sizeof(b));
	assert_true(a != b);
	for (i = 0; i < 1000; i++) {
		uint32_t v = secure_random_below(5);

		assert_in_range(v, 0, 4);
		seen |= 1u << v;
	}
	assert_int_equal(seen, 31);
	assert_int_equal(secure_random_below(1), 0);
	assert_true(secure_equal("abc", "abc", 3));
	assert_false(secure_equal("abc", "abd", 3));
	assert_true(secure_equal("x", "y", 0));
}

/* What files hold must be told from the same octets for ever. */
static void checksums(void **state)
{
	unsigned char p[100], number[8];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(p); i++)
		p[i] = (unsigned char)(7 * i + 1);
	assert_true(checksum(p, 0) == UINT64_C(0xce509dd7fb35a1c4));
	assert_true(checksum(p, 13) == UINT64_C(0x098bf58f94d5dee0));
	assert_true(checksum(p, 100) == UINT64_C(0x8b6b9226b776145c));
	little_put(number, UINT64_C(0x0102030405060708), 8);
	assert_int_equal(number[0], 8);
	assert_int_equal(number[7], 1);
	assert_int_equal(little_get(number, 3), 0x060708);
}

static void clocks(void **state)
{
	uint64_t before = clock_ms();
	int64_t seconds = clock_seconds();

	(void)state;
	clock_test_advance(5000);
	assert_true(clock_ms() >= before + 5000);
	assert_true(clock_seconds() >= seconds + 5);
	clock_test_advance(-5000);
	assert_true(clock_ms() >= before && clock_ms() < before + 5000);
	setenv("TZ", "IST-05:30", 1);
	tzset();
	assert_int_equal(clock_zone(0), 330);
}

static void digests(void **state)
{
	struct digest *d = digest_new();
	struct buf b = BUF_INIT;

	(void)state;
	/* SHA-256 of "abc" (FIPS 180-2): ba7816bf 8f01cfea 414140de 5dae2223, as base64url. */
	digest_add(d, STR("a"));
	digest_add(d, STR(""));
	digest_add(d, STR("bc"));
	digest_name(&d, &b);
	assert_null(d);
	assert_string_equal(buf_cstr(&b), "ungWv48Bz-pBQUDeXa4iIw");
	assert_int_equal(b.n, DIGEST_NAME_OCTETS);
	d = digest_new();
	digest_free(&d);
	digest_free(&d);
	buf_free(&b);
}

/* RFC 4231 §4.2, §4.3; a shorter key is one with zeros behind it. */
static void hmac(void **state UNUSED)
{
	unsigned char key[DIGEST_OCTETS] = {0}, out[DIGEST_OCTETS];
	AUTO_BUF struct buf b = BUF_INIT;

	memset(key, 0x0b, 20);
	digest_hmac(key, STR("Hi There"), out);
	hex_encode(&b, str_mem(out, sizeof(out)));
	assert_string_equal(buf_cstr(&b), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	buf_reset(&b);
	memset(key, 0, sizeof(key));
	memcpy(key, "Jefe", 4);
	digest_hmac(key, STR("what do ya want for nothing?"), out);
	hex_encode(&b, str_mem(out, sizeof(out)));
	assert_string_equal(buf_cstr(&b), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(arena_memory_is_zeroed_and_aligned),
	    cmocka_unit_test(arena_marks_release_what_came_after),
	    cmocka_unit_test(a_large_arena_block_is_not_kept),
	    cmocka_unit_test(arena_texts),
	    cmocka_unit_test(the_impossible_stops_the_process),
	    cmocka_unit_test(strings_compare),
	    cmocka_unit_test(strings_are_cut),
	    cmocka_unit_test(numbers_do_not_overflow),
	    cmocka_unit_test(utf8_is_strict),
	    cmocka_unit_test(hashes_and_distances),
	    cmocka_unit_test(chosen_names_do_not_collide),
	    cmocka_unit_test(buffers_grow_and_keep_their_limit),
	    cmocka_unit_test(a_large_buffer_is_given_back),
	    cmocka_unit_test(vectors),
	    cmocka_unit_test(the_first_error_stays),
	    cmocka_unit_test(base64),
	    cmocka_unit_test(hexadecimal),
	    cmocka_unit_test(messages_between_roles),
	    cmocka_unit_test(bad_messages_are_noticed),
	    cmocka_unit_test(random_and_constant_time),
	    cmocka_unit_test(checksums),
	    cmocka_unit_test(digests),
	    cmocka_unit_test(hmac),
	    cmocka_unit_test(clocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
