// Package pgtest gives each test a PostgreSQL database of its own.
//
// The first call in a test process starts a private server (package localpg) and
// migrates a template once; every database is a copy of it, made in tens of
// milliseconds, so tests run in parallel and never see each other's rows. The
// server ends with the test process, however that ends.
//
// RUNNEL_TEST_POSTGRES is a directory with the initdb and postgres to test with,
// instead of those that are found. RUNNEL_TEST_DATABASE_URL names a server to use
// instead of starting one. It needs a superuser, or one who may create databases
// and roles.
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
//	func TestSomething(t *testing.T) {
//		url := pgtest.Database(t)
package pgtest

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// shared is the server of this test process. It is the one variable that cannot
// be passed along: tests have nothing in common but their process.
var shared server

// Main runs a package's tests, stops the server, and fails when goroutines are
// left over. Call it from TestMain, with its *testing.M or something around it;
// it does not return.
func Main(m goleak.TestingM) {
	code := m.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// Database returns the address of a new, migrated database. It is dropped when
// the test ends, with whatever is still connected.
func Database(t testing.TB) string {
	t.Helper()
	return shared.database(t, true)
}

// Empty returns the address of a new database without Runnel's schema. It is
// dropped when the test ends, with whatever is still connected.
func Empty(t testing.TB) string {
	t.Helper()
	return shared.database(t, false)
}
