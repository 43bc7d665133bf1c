package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/runnelhq/runnel"
)

// didYouMean names what a word that is not known was most likely meant to be, as the
// end of a sentence; "" when nothing is near.
func didYouMean(word string, known []string) string {
	best, least := "", 1+max(1, len(word)/3)
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return ": did you mean " + best + "?"
}

// suggestFunction adds to an error of a function that does not exist the name that
// was most likely meant.
func suggestFunction(ctx context.Context, cmd *cobra.Command, err error) error {
	var e *apiError
	if !errors.As(err, &e) || e.Code != runnel.CodeFunctionNotFound {
		return err
	}
	known := names(ctx, "/admin/v1/functions", "functions")
	for _, arg := range cmd.Flags().Args() {
		if slices.Contains(known, arg) {
			return err // it is disabled
		}
		if advice := didYouMean(arg, known); advice != "" {
			e.Message = fmt.Sprintf("there is no function %q%s", arg, advice)
			return err
		}
	}
	return err
}

// distance is how many characters have to be put in, left out, replaced or swapped
// with their neighbour to make one word of the other.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	var before []int
	last := make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := range x {
		row := make([]int, len(y)+1)
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			row[j+1] = slices.Min([]int{last[j+1] + 1, row[j] + 1, last[j] + cost})
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(y)]
}
