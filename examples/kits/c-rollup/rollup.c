/* c-rollup adds up a CSV file: the request's body, or the payload, is text with a
 * header line, a name in the first column and an amount in the second, in units with
 * up to two decimals. The answer has the sum of each name in cents, in the order in
 * which the names appear. */
#include "runnel.h"

enum { MAX_GROUPS = 1000 };

typedef struct {
	runnel_str name;
	int64_t cents, rows;
} group;

static int problem(runnel_buf *out, const char *text, int64_t line) {
	runnel_puts(out, "{\"statusCode\":422,\"body\":{\"error\":\"");
	runnel_puts(out, text);
	runnel_puts(out, "\",\"line\":");
	runnel_put_int(out, line);
	runnel_puts(out, "}}");
	return 0;
}

/* Reads an amount such as -12.5 into cents. */
static int amount(runnel_str s, int64_t *cents) {
	size_t i = s.n && s.p[0] == '-', first = i;
	int64_t units = 0, part = 0;
	for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++) {
		if (units > 1000000000) return 0; /* so that no sum of 6 MB of them overflows */
		units = units * 10 + (s.p[i] - '0');
	}
	if (i == first) return 0;
	if (i < s.n && s.p[i] == '.') {
		size_t places = s.n - ++i;
		if (places < 1 || places > 2) return 0;
		for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++) part = part * 10 + (s.p[i] - '0');
		if (places == 1) part *= 10;
	}
	if (i != s.n) return 0;
	*cents = units * 100 + part;
	if (first) *cents = -*cents;
	return 1;
}

static int handle(runnel_str event, runnel_buf *out) {
	static group groups[MAX_GROUPS];
	size_t count = 0;
	int64_t line = 0;
	runnel_str value, text;
	if (!runnel_json_get(event, "body", &value) && !runnel_json_get(event, "payload", &value)) {
		runnel_puts(out, "the event has neither a body nor a payload");
		return 1;
	}
	if (!runnel_json_text(value, &text)) return problem(out, "the CSV is not text: send it as text/csv", 0);
	for (const char *p = text.p, *end = p + text.n; p < end;) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));
		if (!stop) stop = end;
		runnel_str row = {p, (size_t)(stop - p)};
		p = stop + 1;
		if (row.n && row.p[row.n - 1] == '\r') row.n--;
		if (++line == 1 || row.n == 0) continue;
		const char *comma = memchr(row.p, ',', row.n);
		if (!comma) return problem(out, "a line without a comma", line);
		runnel_str name = {row.p, (size_t)(comma - row.p)}, number = {comma + 1, row.n - (size_t)(comma + 1 - row.p)};
		int64_t cents;
		if (!amount(number, &cents)) return problem(out, "an amount that is no number with up to two decimals", line);
		size_t i = 0;
		while (i < count && !(groups[i].name.n == name.n && memcmp(groups[i].name.p, name.p, name.n) == 0)) i++;
		if (i == count) {
			if (count == MAX_GROUPS) return problem(out, "more than 1000 names", line);
			groups[count++] = (group){name, 0, 0};
		}
		groups[i].cents += cents;
		groups[i].rows++;
	}
	runnel_puts(out, "{\"groups\":[");
	for (size_t i = 0; i < count; i++) {
		runnel_puts(out, i ? ",{\"name\":" : "{\"name\":");
		runnel_put_quoted(out, groups[i].name);
		runnel_puts(out, ",\"cents\":");
		runnel_put_int(out, groups[i].cents);
		runnel_puts(out, ",\"rows\":");
		runnel_put_int(out, groups[i].rows);
		runnel_puts(out, "}");
	}
	runnel_puts(out, "]}");
	return 0;
}

RUNNEL_HANDLER(handle)
