package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/dop251/goja"
	quickjs "modernc.org/quickjs"
)

const hello = `export async function handler(event) { return "hello " + event.name }`

// helloBody is the same for engines without modules and without an event loop.
const helloBody = `(function (event) { return "hello " + event.name })({ name: "Ada" })`

func callPeers(ctx context.Context) ([]peer, error) {
	rt, err := newRuntime(ctx)
	if err != nil {
		return nil, err
	}
	wasm, err := built(ctx, rt, hello)
	if err != nil {
		return nil, err
	}
	bare, err := newPlain(ctx, wasm)
	if err != nil {
		return nil, err
	}
	peers := []peer{
		{name: "runnel, JavaScript", note: "sandboxed, stoppable, memory-limited", call: caller(rt, wasm, 0)},
		{name: "runnel, JavaScript from scratch", note: "what each call would take without the snapshot", call: func(ctx context.Context) error {
			_, err := built(ctx, rt, hello)
			return err
		}},
		{name: "the same module in plain wazero", note: "its data copied by the engine, no limits", call: bare.call},
	}
	peers = append(peers, goGuests(ctx, rt)...)
	peers = append(peers,
		peer{name: "goja, new runtime", note: "in-process, no memory limit", call: func(context.Context) error {
			v, err := goja.New().RunString(helloBody)
			if err == nil && v.String() != "hello Ada" {
				err = fmt.Errorf("answered %s", v)
			}
			return err
		}},
		peer{name: "modernc.org/quickjs, new VM", note: "the same engine in Go, no sandbox", call: func(context.Context) error {
			vm, err := quickjs.NewVM()
			if err != nil {
				return err
			}
			defer vm.Close()
			v, err := vm.Eval(helloBody, quickjs.EvalGlobal)
			if err == nil && fmt.Sprint(v) != "hello Ada" {
				err = fmt.Errorf("answered %v", v)
			}
			return err
		}},
	)
	for _, kind := range []struct{ name, note string }{
		{"vm", "a new context: no security boundary"},
		{"worker", "a new thread"},
	} {
		n, err := startNode()
		peers = append(peers, peer{name: "node " + kind.name, note: kind.note, slow: true, skip: err, call: func(context.Context) error {
			_, err := n.ask(map[string]string{"kind": kind.name, "body": helloBody})
			return err
		}})
	}
	node, err := exec.LookPath("node")
	peers = append(peers, peer{name: "node process", note: "a new process", slow: true, skip: err, call: func(ctx context.Context) error {
		return exec.CommandContext(ctx, node, "-e", helloBody).Run()
	}})
	return peers, nil
}

func workRunners(ctx context.Context) ([]runner, func(), error) {
	rt, err := newRuntime(ctx)
	if err != nil {
		return nil, nil, err
	}
	modules := map[string]func(context.Context) error{}
	bare := map[string]*plain{}
	for _, w := range works {
		wasm, err := built(ctx, rt, "export function handler() { "+w.body+" }")
		if err != nil {
			return nil, nil, err
		}
		modules[w.body] = caller(rt, wasm, time.Minute)
		if bare[w.body], err = newPlain(ctx, wasm); err != nil {
			return nil, nil, err
		}
	}
	timed := func(f func() error) (time.Duration, error) {
		t := time.Now()
		err := f()
		return time.Since(t), err
	}
	n, skip := startNode()
	j, skipJIT := startNode("--jitless")
	runners := []runner{
		{name: metered, run: func(body string) (time.Duration, error) {
			return timed(func() error { return modules[body](ctx) })
		}},
		{name: unmetered, run: func(body string) (time.Duration, error) {
			return timed(func() error { return bare[body].call(ctx) })
		}},
		{name: "modernc quickjs", run: func(body string) (time.Duration, error) {
			vm, err := quickjs.NewVM()
			if err != nil {
				return 0, err
			}
			defer vm.Close()
			return timed(func() error { _, err := vm.Eval("(function(){"+body+"})()", quickjs.EvalGlobal); return err })
		}},
		{name: "goja", run: func(body string) (time.Duration, error) {
			return timed(func() error { _, err := goja.New().RunString("(function(){" + body + "})()"); return err })
		}},
		{name: "node --jitless", skip: skipJIT, run: func(body string) (time.Duration, error) {
			return j.ask(map[string]string{"kind": "work", "body": body})
		}},
		{name: "node", skip: skip, run: func(body string) (time.Duration, error) {
			return n.ask(map[string]string{"kind": "work", "body": body})
		}},
	}
	return runners, func() { n.close(); j.close() }, nil
}

// node is a node process that runs what it is sent, a line of JSON for each.
type node struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

const nodeScript = `
const vm = require("node:vm"), { Worker } = require("node:worker_threads");
const run = {
  vm: (body) => vm.runInNewContext(body),
  work: (body) => new Function(body)(),
  worker: (body) => new Promise((done, fail) => {
    const w = new Worker("require('node:worker_threads').parentPort.postMessage(eval(" + JSON.stringify(body) + "))", { eval: true });
    w.on("message", done); w.on("error", fail);
  }),
};
require("node:readline").createInterface({ input: process.stdin }).on("line", async (line) => {
  const { kind, body } = JSON.parse(line), t = process.hrtime.bigint();
  let error; try { await run[kind](body) } catch (e) { error = String(e) }
  console.log(JSON.stringify({ ns: Number(process.hrtime.bigint() - t), error }));
});`

func startNode(args ...string) (*node, error) {
	path, err := exec.LookPath("node")
	if err != nil {
		return nil, fmt.Errorf("node is not installed")
	}
	dir, err := os.MkdirTemp("", "runnel-bench-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "bench.cjs")
	if err := os.WriteFile(file, []byte(nodeScript), 0o600); err != nil {
		return nil, err
	}
	n := &node{cmd: exec.Command(path, append(args, file)...)}
	if n.in, err = n.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	n.out = bufio.NewScanner(out)
	return n, n.cmd.Start()
}

func (n *node) ask(request map[string]string) (time.Duration, error) {
	b, err := json.Marshal(request)
	if err != nil {
		return 0, err
	}
	if _, err := n.in.Write(append(b, '\n')); err != nil {
		return 0, err
	}
	if !n.out.Scan() {
		return 0, io.ErrUnexpectedEOF
	}
	var answer struct {
		NS    int64
		Error string
	}
	if err := json.Unmarshal(n.out.Bytes(), &answer); err != nil {
		return 0, err
	}
	if answer.Error != "" {
		return 0, fmt.Errorf("node: %s", answer.Error)
	}
	return time.Duration(answer.NS), nil
}

func (n *node) close() {
	if n != nil {
		n.in.Close()
		n.cmd.Wait()
	}
}
