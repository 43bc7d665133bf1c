package localpg

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// childDir in the environment makes this test binary a program that runs a
// server there ("-": in a temporary home) until its standard input ends.
const childDir = "LOCALPG_TEST_CHILD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := beChild(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func beChild(dir string) error {
	o := Options{Dir: dir}
	if dir == "-" {
		o = Options{Fast: true}
	}
	s, err := Start(context.Background(), o)
	if err != nil {
		return err
	}
	fmt.Println(s.process.pid(), s.home.dir, s.URL(database))
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return s.Stop()
}
