/* runnel.h: functions in C on Runnel. One header, nothing to link.
 *
 *     #include "runnel.h"
 *
 *     static int handle(runnel_str event, runnel_buf *out) {
 *         runnel_puts(out, "{\"hello\":\"world\"}");
 *         return 0;
 *     }
 *     RUNNEL_HANDLER(handle)
 *
 * The handler gets the event's JSON and writes the result's. A return value other
 * than 0 is FunctionError; then what it wrote is the message.
 *
 * As a WASI command (Debian: clang lld wasi-libc libclang-rt-dev-wasm32):
 *     clang --target=wasm32-wasi -Os -Wl,--strip-all -o function.wasm function.c
 * As a handler reactor:
 *     clang --target=wasm32-wasi -Os -Wl,--strip-all -mexec-model=reactor -DRUNNEL_REACTOR -o function.wasm function.c
 *
 * A str is a pointer and a length and ends with no NUL. Memory is never freed: an
 * instance lives for one call.
 */
#ifndef RUNNEL_H
#define RUNNEL_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
	const char *p;
	size_t n;
} runnel_str;

typedef struct {
	char *p;
	size_t n, room;
} runnel_buf;

enum { RUNNEL_DEBUG, RUNNEL_INFO, RUNNEL_WARN, RUNNEL_ERROR };

#define RUNNEL_IMPORT(name) __attribute__((import_module("runnel"), import_name(name)))
RUNNEL_IMPORT("db_query") int32_t runnel_import_db_query(const char *, size_t, const char *, size_t);
RUNNEL_IMPORT("http_fetch") int32_t runnel_import_http_fetch(const char *, size_t);
RUNNEL_IMPORT("env") int32_t runnel_import_env(const char *, size_t);
RUNNEL_IMPORT("log") void runnel_import_log(int32_t, const char *, size_t);
RUNNEL_IMPORT("result_read") int32_t runnel_import_result_read(char *, size_t);

static inline runnel_str runnel_s(const char *text) { return (runnel_str){text, strlen(text)}; }

static inline int runnel_eq(runnel_str s, const char *text) {
	return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

/* Output. Running out of memory ends the instance with OutOfMemory. */

static inline void runnel_write(runnel_buf *b, const void *p, size_t n) {
	if (n > b->room - b->n) {
		size_t room = b->room ? b->room : 256;
		while (room - b->n < n) room *= 2;
		char *grown = realloc(b->p, room);
		if (!grown) abort();
		b->p = grown;
		b->room = room;
	}
	memcpy(b->p + b->n, p, n);
	b->n += n;
}

static inline void runnel_put(runnel_buf *b, runnel_str s) { runnel_write(b, s.p, s.n); }
static inline void runnel_puts(runnel_buf *b, const char *text) { runnel_write(b, text, strlen(text)); }

static inline void runnel_put_int(runnel_buf *b, int64_t v) {
	char digits[24];
	runnel_write(b, digits, (size_t)snprintf(digits, sizeof digits, "%lld", (long long)v));
}

/* Writes s as a JSON string. */
static inline void runnel_put_quoted(runnel_buf *b, runnel_str s) {
	runnel_write(b, "\"", 1);
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		char escape[8];
		if (c == '"' || c == '\\') {
			escape[0] = '\\';
			escape[1] = (char)c;
			runnel_write(b, escape, 2);
		} else if (c < ' ') {
			runnel_write(b, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", c));
		} else {
			runnel_write(b, &c, 1);
		}
	}
	runnel_write(b, "\"", 1);
}

/* Host calls. What they return stays valid; failures are JSON with "error". */

static inline runnel_str runnel_result(int32_t n) {
	char *p = malloc(n > 0 ? (size_t)n : 1);
	if (!p) abort();
	return (runnel_str){p, (size_t)runnel_import_result_read(p, n > 0 ? (size_t)n : 0)};
}

/* params is a JSON array; the answer is {"columns","rows","row_count"} or {"error"}. */
static inline runnel_str runnel_query(runnel_str sql, runnel_str params) {
	return runnel_result(runnel_import_db_query(sql.p, sql.n, params.p, params.n));
}

/* request is {"method","url","headers","body","is_base64"}; the answer is
 * {"status","headers","body","is_base64","url"} or {"error"}. */
static inline runnel_str runnel_fetch(runnel_str request) {
	return runnel_result(runnel_import_http_fetch(request.p, request.n));
}

/* A value of the environment. Returns 0 when it is not set. */
static inline int runnel_env(const char *key, runnel_str *value) {
	int32_t n = runnel_import_env(key, strlen(key));
	if (n < 0) return 0;
	*value = runnel_result(n);
	return 1;
}

static inline void runnel_log(int level, runnel_str message) { runnel_import_log(level, message.p, message.n); }

/* Reading JSON. The host has checked that events and answers are valid. */

static inline const char *runnel_json_space(const char *p, const char *end) {
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) p++;
	return p;
}

/* Returns the end of the value that begins at p. */
static inline const char *runnel_json_skip(const char *p, const char *end) {
	size_t depth = 0;
	do {
		p = runnel_json_space(p, end);
		if (p >= end) return end;
		char c = *p++;
		if (c == '"') {
			while (p < end && *p != '"') p += *p == '\\' ? 2 : 1;
			p = p < end ? p + 1 : end;
		} else if (c == '{' || c == '[') {
			depth++;
		} else if (c == '}' || c == ']') {
			if (depth) depth--;
		} else if (c != ',' && c != ':') {
			while (p < end && !memchr(",:]}[{\" \t\r\n", *p, 11)) p++;
		}
	} while (depth);
	return p;
}

/* Finds a member of an object by a key without escapes, as the bytes of its value.
 * Of keys that repeat, the first. Returns 0 when json is no object or has none. */
static inline int runnel_json_get(runnel_str json, const char *key, runnel_str *value) {
	const char *end = json.p + json.n, *p = runnel_json_space(json.p, end);
	size_t n = strlen(key);
	if (p >= end || *p++ != '{') return 0;
	for (;;) {
		p = runnel_json_space(p, end);
		if (p >= end || *p != '"') return 0;
		const char *name = p;
		p = runnel_json_skip(p, end);
		size_t length = (size_t)(p - name);
		p = runnel_json_space(p, end);
		if (p >= end || *p++ != ':') return 0;
		p = runnel_json_space(p, end);
		const char *from = p;
		p = runnel_json_skip(p, end);
		if (length == n + 2 && memcmp(name + 1, key, n) == 0) {
			*value = (runnel_str){from, (size_t)(p - from)};
			return 1;
		}
		p = runnel_json_space(p, end);
		if (p >= end || *p++ != ',') return 0;
	}
}

static inline int runnel_json_hex(const char *p, uint32_t *v) {
	*v = 0;
	for (int i = 0; i < 4; i++) {
		int c = (unsigned char)p[i], digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
		if (digit < 0) return 0;
		*v = *v << 4 | (uint32_t)digit;
	}
	return 1;
}

/* The text of a JSON string, in UTF-8. Returns 0 when value is no string. */
static inline int runnel_json_text(runnel_str value, runnel_str *text) {
	runnel_buf out = {0};
	if (value.n < 2 || value.p[0] != '"') return 0;
	const char *p = value.p + 1, *end = value.p + value.n - 1;
	while (p < end) {
		if (*p != '\\') {
			runnel_write(&out, p++, 1);
			continue;
		}
		if (++p >= end) return 0;
		char c = *p++;
		const char *plain = "\"\\/bfnrt", *at = memchr(plain, c, 8);
		if (at) {
			runnel_write(&out, &"\"\\/\b\f\n\r\t"[at - plain], 1);
			continue;
		}
		uint32_t v, low;
		if (c != 'u' || end - p < 4 || !runnel_json_hex(p, &v)) return 0;
		p += 4;
		if (v >= 0xd800 && v < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u' && runnel_json_hex(p + 2, &low) && low >= 0xdc00 && low < 0xe000) {
			v = 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
			p += 6;
		} else if (v >= 0xd800 && v < 0xe000) {
			v = 0xfffd; /* half a character */
		}
		char u[4];
		size_t n;
		if (v < 0x80) {
			u[0] = (char)v, n = 1;
		} else if (v < 0x800) {
			u[0] = (char)(0xc0 | v >> 6), u[1] = (char)(0x80 | (v & 63)), n = 2;
		} else if (v < 0x10000) {
			u[0] = (char)(0xe0 | v >> 12), u[1] = (char)(0x80 | (v >> 6 & 63)), u[2] = (char)(0x80 | (v & 63)), n = 3;
		} else {
			u[0] = (char)(0xf0 | v >> 18), u[1] = (char)(0x80 | (v >> 12 & 63)), u[2] = (char)(0x80 | (v >> 6 & 63)), u[3] = (char)(0x80 | (v & 63)), n = 4;
		}
		runnel_write(&out, u, n);
	}
	*text = (runnel_str){out.p ? out.p : "", out.n};
	return 1;
}

/* The last line on stderr is the message of a function that exits with 1. */
static inline void runnel_fail(runnel_buf *message) {
	fwrite(message->p, 1, message->n, stderr);
	fputc('\n', stderr);
	exit(1);
}

#ifdef RUNNEL_REACTOR
#define RUNNEL_HANDLER(function)                                                        \
	__attribute__((export_name("runnel_alloc"))) void *runnel_alloc(size_t n) {     \
		return malloc(n ? n : 1);                                               \
	}                                                                               \
	__attribute__((export_name("handler"))) uint64_t runnel_handler(const char *p, size_t n) { \
		runnel_buf out = {0};                                                   \
		if (function((runnel_str){p, n}, &out)) runnel_fail(&out);              \
		return (uint64_t)(uintptr_t)out.p << 32 | out.n;                        \
	}
#else
#define RUNNEL_HANDLER(function)                                                        \
	int main(void) {                                                                \
		runnel_buf event = {0}, out = {0};                                      \
		char chunk[4096];                                                       \
		for (size_t n; (n = fread(chunk, 1, sizeof chunk, stdin)) > 0;) runnel_write(&event, chunk, n); \
		if (function((runnel_str){event.p, event.n}, &out)) runnel_fail(&out);  \
		return fwrite(out.p, 1, out.n, stdout) == out.n ? 0 : 1;                \
	}
#endif

#endif
