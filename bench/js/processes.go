package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	engine "github.com/aperturerobotics/go-quickjs-wasi-reactor"
)

// processes are JavaScript runtimes that are programs of their own.
func processes(b *bed) []*peer {
	var peers []*peer
	for _, kind := range []struct{ name, note string }{
		{"vm", "a new context: no security boundary, no memory limit"},
		{"worker", "a new thread with its own heap"},
	} {
		peers = append(peers, &peer{name: "node, " + kind.name, note: kind.note, open: func() (func(context.Context) error, error) {
			n, err := startNode(b)
			if err != nil {
				return nil, err
			}
			return func(context.Context) error {
				_, err := n.ask(kind.name, helloBody)
				return err
			}, nil
		}})
	}
	peers = append(peers, &peer{name: "node, process", note: "a new process", open: func() (func(context.Context) error, error) {
		if _, err := exec.LookPath("node"); err != nil {
			return nil, errNoNode
		}
		return printer(nil, "node", "-e", "console.log("+helloBody+")"), nil
	}})
	return append(peers, deno(b), workerd(b))
}

// printer runs a program that prints the answer.
func printer(env []string, program string, args ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.Output()
		return differs(bytes.TrimSpace(out), []byte(helloAnswer), err)
	}
}

func deno(b *bed) *peer {
	return &peer{name: "deno, process", note: "Deno " + denoVersion + ", a new process", open: func() (func(context.Context) error, error) {
		dir, err := install(b.ctx, "deno", denoVersion)
		if err != nil {
			return nil, err
		}
		program, err := shipped(dir, "@deno/*/deno")
		if err != nil {
			return nil, err
		}
		file := filepath.Join(b.dir, "hello.js")
		if err := os.WriteFile(file, []byte("console.log("+helloBody+")"), 0o600); err != nil {
			return nil, err
		}
		env := []string{"DENO_DIR=" + filepath.Join(b.dir, "deno"), "DENO_NO_UPDATE_CHECK=1", "NO_COLOR=1"}
		return printer(env, program, "run", "--no-config", "--no-remote", "--no-npm", file), nil
	}}
}

// workerd is the one that is not fresh: its isolate serves all calls.
func workerd(b *bed) *peer {
	var url string
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	start := func() error {
		dir, err := install(b.ctx, "workerd", workerdVersion)
		if err != nil {
			return err
		}
		program, err := shipped(dir, "@cloudflare/workerd-*/bin/workerd")
		if err != nil {
			return err
		}
		script := `export default { async fetch(request) { const event = await request.json(); return new Response("hello " + event.name) } }`
		config := `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (modules = [(name = "worker.js", esModule = embed "worker.js")], compatibilityDate = "2026-01-01")),
    (name = "internet", network = (allow = [])),
  ],
  sockets = [(name = "http", http = (), service = "main")],
);
`
		for name, text := range map[string]string{"worker.js": script, "workerd.capnp": config} {
			if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
				return err
			}
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close()
		socket, err := l.(*net.TCPListener).File()
		if err != nil {
			return err
		}
		defer socket.Close()
		cmd := exec.CommandContext(b.ctx, program, "serve", filepath.Join(b.dir, "workerd.capnp"), "--socket-fd=http=3")
		cmd.ExtraFiles, cmd.Stderr = []*os.File{socket}, os.Stderr
		if err := cmd.Start(); err != nil {
			return err
		}
		b.onClose(func() {
			client.CloseIdleConnections()
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		url = "http://" + l.Addr().String()
		return nil
	}
	return &peer{name: "workerd, hot", note: "workerd " + workerdVersion + ", one isolate for all calls, over HTTP: not fresh", open: func() (func(context.Context) error, error) {
		if url == "" {
			if err := start(); err != nil {
				return nil, err
			}
		}
		return func(ctx context.Context) error {
			request, err := http.NewRequestWithContext(ctx, "POST", url, bytes.NewReader(event))
			if err != nil {
				return err
			}
			response, err := client.Do(request)
			if err != nil {
				return err
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			return differs(body, []byte(helloAnswer), err)
		}, nil
	}}
}

// answerer is a process that runs what it is sent, a line of JSON for each.
type answerer struct {
	in  io.WriteCloser
	out *bufio.Scanner
}

var errNoNode = fmt.Errorf("node is not installed: apt-get install nodejs")

const nodeScript = `
const vm = require("node:vm"), { Worker } = require("node:worker_threads");
const run = {
  vm: (body) => vm.runInNewContext(body),
  work: (body) => new Function(body)(),
  worker: (body) => new Promise((done, fail) => {
    const w = new Worker("require('node:worker_threads').parentPort.postMessage(eval(" + JSON.stringify(body) + "))", { eval: true });
    let answer;
    w.on("message", (m) => { answer = m }); w.on("error", fail); w.on("exit", () => done(answer));
  }),
};
require("node:readline").createInterface({ input: process.stdin }).on("line", async (line) => {
  const { kind, body } = JSON.parse(line), t = process.hrtime.bigint();
  let error; try { await run[kind](body) } catch (e) { error = String(e) }
  console.log(JSON.stringify({ ns: Number(process.hrtime.bigint() - t), error }));
});`

// quickjsScript is nodeScript's work for the native build of the engine.
const quickjsScript = `
import * as std from "qjs:std";
for (let line; (line = std.in.getline()) !== null; ) {
  const run = new Function(JSON.parse(line).body), t = performance.now();
  let error; try { run() } catch (e) { error = String(e) }
  std.out.puts(JSON.stringify({ ns: Math.round((performance.now() - t) * 1e6), error }) + "\n");
  std.out.flush();
}`

func startNode(b *bed, args ...string) (*answerer, error) {
	path, err := exec.LookPath("node")
	if err != nil {
		return nil, errNoNode
	}
	return b.answerer("bench.cjs", nodeScript, path, args...)
}

// startQuickJS starts the program qjs of a native build.
func startQuickJS(b *bed, program string) (*answerer, error) {
	out, err := exec.CommandContext(b.ctx, program, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("%s: make upstream QUICKJS=FOLDER builds it: %w", program, err)
	}
	if got := "v" + strings.TrimSpace(string(out)); got != engine.Version {
		return nil, fmt.Errorf("%s is QuickJS-NG %s, functions run in %s", program, got, engine.Version)
	}
	return b.answerer("bench.mjs", quickjsScript, program, "--module")
}

// answerer starts a program with a script of this name.
func (b *bed) answerer(name, script, program string, args ...string) (*answerer, error) {
	file := filepath.Join(b.dir, name)
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(b.ctx, program, append(args, file)...)
	n := &answerer{}
	var err error
	if n.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	n.out = bufio.NewScanner(out)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	b.onClose(func() {
		_ = n.in.Close()
		_ = cmd.Wait()
	})
	return n, nil
}

// ask returns how long it took.
func (n *answerer) ask(kind, body string) (time.Duration, error) {
	request, err := json.Marshal(map[string]string{"kind": kind, "body": body})
	if err != nil {
		return 0, err
	}
	if _, err := n.in.Write(append(request, '\n')); err != nil {
		return 0, err
	}
	if !n.out.Scan() {
		return 0, orFirst(n.out.Err(), io.ErrUnexpectedEOF)
	}
	var answer struct {
		NS    int64
		Error string
	}
	if err := json.Unmarshal(n.out.Bytes(), &answer); err != nil {
		return 0, err
	}
	if answer.Error != "" {
		return 0, fmt.Errorf("%s", strings.TrimSpace(answer.Error))
	}
	return time.Duration(answer.NS), nil
}
