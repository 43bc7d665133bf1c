// summarize-change: says in words and in data what a committed change changed.
//
// A freestanding handler reactor: no libc, no WASI, no imports. The event of a
// database trigger comes in, and
//
//   {"table":"orders","operation":"UPDATE",
//    "changed":[{"column":"status","from":"new","to":"paid"}],
//    "summary":"orders: 1 column changed: status"}
//
// goes out. An event with "rows" (statement granularity) gives the same for each
// row in "rows", and one summary. Values are copied as they stand in the event.
//
// The event is checked to be valid JSON first, so that everything after the check
// may walk it without looking for errors, and what is copied out of it is valid.

typedef unsigned char byte;
typedef unsigned int size;          // wasm32: addresses and lengths are 32 bits
typedef unsigned long long packed;  // ptr << 32 | len

#define EXPORT(name) __attribute__((export_name(name)))
#define MAX_DEPTH 64
#define PAGE 65536u

// Memory: everything after the module's own data, handed out once and never
// taken back, because an instance lives for one invocation.

extern byte __heap_base;
static size top;

static void reserve(size upto) {
	size have = __builtin_wasm_memory_size(0) * PAGE; // at most 65535 pages: no overflow
	if (upto > have && __builtin_wasm_memory_grow(0, (upto - have + PAGE - 1) / PAGE) == (size)-1)
		__builtin_trap();
}

EXPORT("runnel_alloc")
byte *runnel_alloc(size n) {
	if (top == 0) top = (size)&__heap_base;
	if (n > 0x7fffffffu - top) __builtin_trap();
	reserve(top + n);
	byte *p = (byte *)top;
	top += (n + 15) & ~15u;
	return p;
}

// Output: grows at the top of the heap, where nothing follows it.

static byte *out;
static size out_len;

static void put(const byte *p, size n) {
	if (n > 0x7fffffffu - (size)out - out_len) __builtin_trap();
	reserve((size)out + out_len + n);
	for (size i = 0; i < n; i++) out[out_len + i] = p[i];
	out_len += n;
}

#define PUT(text) put((const byte *)text, sizeof(text) - 1)

static void put_number(size n) {
	byte digits[10];
	size i = sizeof digits;
	do digits[--i] = '0' + n % 10; while (n /= 10);
	put(digits + i, sizeof digits - i);
}

// Spans of the event.

typedef struct { const byte *p; size n; } span;

static int same(span a, span b) {
	if (a.n != b.n) return 0;
	for (size i = 0; i < a.n; i++) if (a.p[i] != b.p[i]) return 0;
	return 1;
}

static int is(span a, const char *text) {
	size i = 0;
	for (; i < a.n && text[i]; i++) if (a.p[i] != (byte)text[i]) return 0;
	return i == a.n && !text[i];
}

// A cursor over the event. It never passes end.

typedef struct { const byte *p, *end; } cursor;

static int peek(cursor *c) { return c->p < c->end ? *c->p : -1; }

static int take(cursor *c, int want) {
	if (peek(c) != want) return 0;
	c->p++;
	return 1;
}

static void space(cursor *c) {
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\r' || *c->p == '\n')) c->p++;
}

static int digit(int ch) { return ch >= '0' && ch <= '9'; }

static int digits(cursor *c) {
	if (!digit(peek(c))) return 0;
	while (digit(peek(c))) c->p++;
	return 1;
}

static int hex(int ch) { return digit(ch) || (ch >= 'a' && ch <= 'f') || (ch >= 'A' && ch <= 'F'); }

// utf8 passes over the rest of the character that begins with first, or returns 0.
static int utf8(cursor *c, int first) {
	int more = first < 0xc2 ? -1 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf5 ? 3 : -1;
	int lo = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80; // no longer than needed
	int hi = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf; // no surrogate, not above U+10FFFF
	for (int i = 0; i < more; i++) {
		int ch = peek(c);
		if (ch < (i ? 0x80 : lo) || ch > (i ? 0xbf : hi)) return 0;
		c->p++;
	}
	return more > 0;
}

static int string(cursor *c) {
	if (!take(c, '"')) return 0;
	for (;;) {
		int ch = peek(c);
		if (ch < 0x20) return 0; // the end of the event, or a control character
		c->p++;
		if (ch == '"') return 1;
		if (ch >= 0x80 && !utf8(c, ch)) return 0;
		if (ch != '\\') continue;
		ch = peek(c);
		if (ch < 0) return 0;
		c->p++;
		switch (ch) {
		case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't':
			break;
		case 'u':
			for (int i = 0; i < 4; i++) {
				if (!hex(peek(c))) return 0;
				c->p++;
			}
			break;
		default:
			return 0;
		}
	}
}

static int number(cursor *c) {
	take(c, '-');
	if (!take(c, '0') && !digits(c)) return 0;
	if (take(c, '.') && !digits(c)) return 0;
	if (take(c, 'e') || take(c, 'E')) {
		if (!take(c, '+')) take(c, '-');
		return digits(c);
	}
	return 1;
}

static int word(cursor *c, const char *text) {
	for (; *text; text++) if (!take(c, (byte)*text)) return 0;
	return 1;
}

// value passes over one JSON value, or returns 0 when there is none.
static int value(cursor *c, int depth) {
	if (depth > MAX_DEPTH) return 0;
	switch (peek(c)) {
	case '"': return string(c);
	case 't': return word(c, "true");
	case 'f': return word(c, "false");
	case 'n': return word(c, "null");
	case '{': case '[': break;
	default: return number(c);
	}
	int object = *c->p == '{';
	c->p++;
	space(c);
	if (take(c, object ? '}' : ']')) return 1;
	for (;;) {
		space(c);
		if (object) {
			if (!string(c)) return 0;
			space(c);
			if (!take(c, ':')) return 0;
			space(c);
		}
		if (!value(c, depth + 1)) return 0;
		space(c);
		if (take(c, object ? '}' : ']')) return 1;
		if (!take(c, ',')) return 0;
	}
}

// From here on the event is known to be valid JSON.

static span passed(cursor *c) {
	const byte *from = c->p;
	value(c, 0);
	return (span){from, (size)(c->p - from)};
}

static span inside(span s) { return (span){s.p + 1, s.n - 2}; } // a string's quotes

// begin puts a cursor before the first member of an object or array; next reads
// the member and returns 0 when there is none. key may be 0 for an array.
static cursor begin(span s) { return (cursor){s.p + 1, s.p + s.n}; }

static int next(cursor *c, span *key, span *val) {
	space(c);
	take(c, ',');
	space(c);
	if (peek(c) == '}' || peek(c) == ']') return 0;
	if (key) {
		*key = inside(passed(c));
		space(c);
		take(c, ':');
		space(c);
	}
	*val = passed(c);
	return 1;
}

static const span null = {(const byte *)"null", 4};

// get returns the value of a key, or null. The last of several counts.
static span get(span object, span key) {
	span found = null, k, v;
	if (object.p[0] != '{') return found;
	for (cursor c = begin(object); next(&c, &k, &v);)
		if (same(k, key)) found = v;
	return found;
}

static span field(span object, const char *name) {
	size n = 0;
	while (name[n]) n++;
	return get(object, (span){(const byte *)name, n});
}

// Changes.

// each_change calls f for every column that differs between two images of a row,
// and returns how many there are. Either image may be null.
static size each_change(span from, span to, void (*f)(size n, span column, span from, span to)) {
	int inserted_or_updated = to.p[0] == '{';
	span image = inserted_or_updated ? to : from, other = inserted_or_updated ? from : to;
	if (image.p[0] != '{') return 0;
	// Both images have the same columns in the same order, so they are read side
	// by side. If they do not, columns are looked up.
	int aligned = other.p[0] == '{';
	cursor d = aligned ? begin(other) : (cursor){0, 0};
	span column, v, k, w;
	size n = 0;
	for (cursor c = begin(image); next(&c, &column, &v);) {
		aligned = aligned && next(&d, &k, &w) && same(k, column);
		if (!aligned) w = get(other, column);
		if (same(v, w)) continue;
		if (f) f(n, column, inserted_or_updated ? w : v, inserted_or_updated ? v : w);
		n++;
	}
	return n;
}

static void put_change(size n, span column, span from, span to) {
	if (n) PUT(",");
	PUT("{\"column\":\"");
	put(column.p, column.n);
	PUT("\",\"from\":");
	put(from.p, from.n);
	PUT(",\"to\":");
	put(to.p, to.n);
	PUT("}");
}

static void put_name(size n, span column, span from, span to) {
	(void)from, (void)to;
	if (n) PUT(", ");
	put(column.p, column.n);
}

static void put_changes(span from, span to) {
	PUT("\"changed\":[");
	each_change(from, to, put_change);
	PUT("]");
}

static void put_count(size n, span operation, const char *noun) {
	put_number(n);
	PUT(" ");
	while (*noun) put((const byte *)noun++, 1);
	if (n != 1) PUT("s");
	if (is(operation, "INSERT")) PUT(" inserted");
	else if (is(operation, "DELETE")) PUT(" deleted");
	else PUT(" changed");
}

static void put_event(span event) {
	span table = field(event, "table"), operation = field(event, "operation");
	if (event.p[0] != '{' || table.p[0] != '"' || operation.p[0] != '"') {
		PUT("{\"error\":\"the event is not a database trigger's: it has no table or no operation\"}");
		return;
	}
	table = inside(table);
	operation = inside(operation);
	PUT("{\"table\":\"");
	put(table.p, table.n);
	PUT("\",\"operation\":\"");
	put(operation.p, operation.n);
	PUT("\",");
	span rows = field(event, "rows"), row;
	if (rows.p[0] == '[') {
		size n = 0;
		PUT("\"rows\":[");
		for (cursor c = begin(rows); next(&c, 0, &row); n++) {
			if (n) PUT(",");
			PUT("{");
			put_changes(field(row, "old"), field(row, "new"));
			PUT("}");
		}
		PUT("],\"summary\":\"");
		put(table.p, table.n);
		PUT(": ");
		put_count(n, operation, "row");
	} else {
		span from = field(event, "old"), to = field(event, "new");
		put_changes(from, to);
		PUT(",\"summary\":\"");
		put(table.p, table.n);
		PUT(": ");
		size n = each_change(from, to, 0);
		if (is(operation, "TRUNCATE")) {
			PUT("all rows removed");
		} else if (is(operation, "UPDATE")) {
			put_count(n, operation, "column");
			if (n) PUT(": ");
			each_change(from, to, put_name);
		} else {
			put_count(1, operation, "row");
		}
	}
	PUT("\"}");
}

EXPORT("handler")
packed handler(const byte *p, size n) {
	out = runnel_alloc(0);
	cursor c = {p, p + n};
	space(&c);
	span event = {c.p, 0};
	int valid = value(&c, 0);
	event.n = (size)(c.p - event.p);
	space(&c);
	if (valid && c.p == c.end) put_event(event);
	else PUT("{\"error\":\"the event is not valid JSON, or nested too deep\"}");
	return (packed)(size)out << 32 | out_len;
}
