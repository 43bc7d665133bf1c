package sql

import "strings"

// allowed are the statements that a function may send: what reads and writes
// rows. Everything else (DO, COPY, SET, transactions, DDL, LISTEN) is refused with
// a clear message. This is for tidiness: what keeps a function inside its role is
// its login, whatever the statement.
var allowed = map[string]bool{
	"SELECT": true, "WITH": true, "INSERT": true, "UPDATE": true, "DELETE": true, "MERGE": true,
	"VALUES": true, "TABLE": true, "EXPLAIN": true, "SHOW": true, "CALL": true,
}

// firstWord returns the word that an SQL text begins with, in capitals, after
// spaces, comments and opening parentheses. It is empty when there is none.
func firstWord(sql string) string {
	for i := 0; i < len(sql); {
		switch {
		case strings.IndexByte(" \t\n\r\f\v(", sql[i]) >= 0:
			i++
		case strings.HasPrefix(sql[i:], "--"):
			end := strings.IndexAny(sql[i:], "\r\n")
			if end < 0 {
				return ""
			}
			i += end
		case strings.HasPrefix(sql[i:], "/*"):
			n := comment(sql[i:])
			if n == 0 {
				return ""
			}
			i += n
		default:
			n := i
			for n < len(sql) && (sql[n] >= 'a' && sql[n] <= 'z' || sql[n] >= 'A' && sql[n] <= 'Z' || sql[n] == '_') {
				n++
			}
			if n < len(sql) && (sql[n] >= 0x80 || sql[n] >= '0' && sql[n] <= '9' || sql[n] == '$') {
				return "" // part of a longer name
			}
			return strings.ToUpper(sql[i:n])
		}
	}
	return ""
}

// comment is the length of the comment at the start of sql, nested ones included;
// 0 when it does not end.
func comment(sql string) int {
	depth := 0
	for i := 0; i+1 < len(sql); {
		switch sql[i : i+2] {
		case "/*":
			depth++
			i += 2
		case "*/":
			i += 2
			if depth--; depth == 0 {
				return i
			}
		default:
			i++
		}
	}
	return 0
}
