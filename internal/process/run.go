package process

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sync/errgroup"
)

// Signals returns a context that ends at the first SIGINT or SIGTERM. A second
// one then kills the process, as if nobody had asked for the first.
func Signals() context.Context {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx
}

// Run runs tasks together until all have returned. The first that fails ends the
// others. A task that was still starting when ctx ended has not failed.
func Run(ctx context.Context, tasks ...func(context.Context) error) error {
	group, groupCtx := errgroup.WithContext(ctx)
	for _, task := range tasks {
		group.Go(func() error {
			err := task(groupCtx)
			if ctx.Err() != nil && errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		})
	}
	return group.Wait()
}
