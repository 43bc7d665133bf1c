package sandbox

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/runnelhq/runnel"
)

// extismFunctions are the imports of Extism plug-ins. Those that only touch blocks
// do not look at the deadline: the plug-in calls one for every eight bytes it reads
// or writes, and meets a tick soon enough.
func extismFunctions() []hostFunction {
	env := func(name, params, results string, call func(*invocation, []uint64) uint64) hostFunction {
		return hostFunction{module: extismModule, name: name, params: params, results: results, call: call}
	}
	quick := func(name, params, results string, call func(*invocation, []uint64) uint64) hostFunction {
		f := env(name, params, results, call)
		f.quick = true
		return f
	}
	user := func(name, params, results string, call func(*invocation, []uint64) uint64) hostFunction {
		f := env(name, params, results, call)
		f.module = extismUserModule
		return f
	}
	log := func(level string) func(*invocation, []uint64) uint64 {
		return func(inv *invocation, p []uint64) uint64 { return inv.extismLog("log_"+level, level, p[0]) }
	}
	return []hostFunction{
		quick("alloc", "I", "I", func(inv *invocation, p []uint64) uint64 { return inv.plugin.blocks.alloc(p[0]) }),
		quick("free", "I", "", (*invocation).extismFree),
		quick("length", "I", "I", func(inv *invocation, p []uint64) uint64 { return inv.plugin.blocks.length(p[0]) }),
		quick("length_unsafe", "I", "I", func(inv *invocation, p []uint64) uint64 { return inv.plugin.blocks.length(p[0]) }),
		quick("load_u8", "I", "i", func(inv *invocation, p []uint64) uint64 { return uint64(inv.shared("load_u8", p[0], 1)[0]) }),
		quick("load_u64", "I", "I", func(inv *invocation, p []uint64) uint64 {
			return binary.LittleEndian.Uint64(inv.shared("load_u64", p[0], 8))
		}),
		quick("store_u8", "Ii", "", func(inv *invocation, p []uint64) uint64 {
			inv.shared("store_u8", p[0], 1)[0] = byte(p[1])
			return 0
		}),
		quick("store_u64", "II", "", func(inv *invocation, p []uint64) uint64 {
			binary.LittleEndian.PutUint64(inv.shared("store_u64", p[0], 8), p[1])
			return 0
		}),
		quick("input_offset", "", "I", func(inv *invocation, _ []uint64) uint64 { return inv.plugin.input.address }),
		quick("input_length", "", "I", func(inv *invocation, _ []uint64) uint64 { return inv.plugin.input.length }),
		quick("input_load_u8", "I", "i", func(inv *invocation, p []uint64) uint64 {
			if b, ok := inv.plugin.inputAt(p[0], 1); ok {
				return uint64(b[0])
			}
			return 0
		}),
		quick("input_load_u64", "I", "I", func(inv *invocation, p []uint64) uint64 {
			if b, ok := inv.plugin.inputAt(p[0], 8); ok {
				return binary.LittleEndian.Uint64(b)
			}
			return 0
		}),
		quick("input_set", "II", "", func(inv *invocation, p []uint64) uint64 {
			inv.plugin.input = inv.span("input_set", p[0], p[1])
			return 0
		}),
		quick("output_set", "II", "", func(inv *invocation, p []uint64) uint64 {
			inv.plugin.output = inv.span("output_set", p[0], p[1])
			return 0
		}),
		quick("output_offset", "", "I", func(inv *invocation, _ []uint64) uint64 { return inv.plugin.output.address }),
		quick("output_length", "", "I", func(inv *invocation, _ []uint64) uint64 { return inv.plugin.output.length }),
		quick("error_set", "I", "", (*invocation).extismErrorSet),
		quick("error_get", "", "I", func(inv *invocation, _ []uint64) uint64 { return inv.plugin.failure.address }),
		quick("memory_bytes", "", "I", func(inv *invocation, _ []uint64) uint64 { return uint64(len(inv.plugin.blocks.memory.bytes)) }),
		env("reset", "", "", (*invocation).extismReset),

		env("config_get", "I", "I", (*invocation).extismConfigGet),
		env("var_get", "I", "I", (*invocation).extismVarGet),
		env("var_set", "II", "", (*invocation).extismVarSet),
		env("http_request", "II", "I", (*invocation).extismHTTPRequest),
		quick("http_status_code", "", "i", func(inv *invocation, _ []uint64) uint64 { return uint64(inv.plugin.status) }),
		env("http_headers", "", "I", func(inv *invocation, _ []uint64) uint64 { return inv.plugin.blocks.put(inv.plugin.headers) }),
		env("log_trace", "I", "", func(inv *invocation, p []uint64) uint64 { return inv.extismLog("log_trace", "debug", p[0]) }),
		env("log_debug", "I", "", log("debug")),
		env("log_info", "I", "", log("info")),
		env("log_warn", "I", "", log("warn")),
		env("log_error", "I", "", log("error")),
		quick("get_log_level", "", "i", func(*invocation, []uint64) uint64 { return 0 }), // trace: all are kept

		user("runnel_db_query", "I", "I", (*invocation).extismQuery),
		user("runnel_http_fetch", "I", "I", (*invocation).extismFetch),
		user("runnel_env", "I", "I", (*invocation).extismEnv),
		user("runnel_log", "iI", "", (*invocation).extismUserLog),
	}
}

// shared returns n bytes of the blocks' memory or ends the plug-in. Extism answers 0
// and drops the write; a plug-in that gets here has a bug.
func (inv *invocation) shared(call string, address, n uint64) []byte {
	b, ok := inv.plugin.blocks.view(address, n)
	if !ok {
		panic(outsideOfBlocks(call, address, n))
	}
	return b
}

func outsideOfBlocks(call string, address, n uint64) *runnel.Error {
	return runnel.Errorf(runnel.CodeFunctionError, "%s was called with %d bytes at offset %d, outside of Extism's memory: pass an offset that alloc returned", call, n, address)
}

func (inv *invocation) span(call string, address, n uint64) span {
	inv.shared(call, address, n)
	return span{address, n}
}

// text returns the bytes of a block, not a copy, or ends the plug-in. Offset 0 is
// what alloc(0) returns, and empty.
func (p *plugin) text(call string, address uint64) []byte {
	n := p.blocks.length(address)
	if n == 0 && address != 0 {
		panic(runnel.Errorf(runnel.CodeFunctionError, "%s was called with offset %d, where no block is: pass an offset that alloc returned and free did not get", call, address))
	}
	b, _ := p.blocks.view(address, n)
	return b
}

func (p *plugin) inputAt(offset, n uint64) ([]byte, bool) {
	if n > p.input.length || offset > p.input.length-n {
		return nil, false
	}
	return p.blocks.view(p.input.address+offset, n)
}

func (inv *invocation) extismFree(p []uint64) uint64 {
	inv.plugin.blocks.release(p[0])
	if p[0] == inv.plugin.input.address {
		inv.plugin.input.length = 0
	}
	return 0
}

func (inv *invocation) extismReset([]uint64) uint64 {
	inv.plugin.blocks.reset()
	inv.plugin.input, inv.plugin.output, inv.plugin.failure = span{}, span{}, span{}
	return 0
}

// extismErrorSet keeps the error's length as well, so that it can be freed.
func (inv *invocation) extismErrorSet(p []uint64) uint64 {
	text := inv.plugin.text("error_set", p[0])
	inv.plugin.failure = span{p[0], uint64(len(text))}
	return 0
}

// extismConfigGet is config_get(key) -> value, 0 when unset. Extism's configuration
// is the environment. The host frees the key. It does so last: a plug-in that frees
// the key too must not hit the value.
func (inv *invocation) extismConfigGet(p []uint64) uint64 {
	value := inv.extismEnvNamed("config_get", p[0])
	inv.plugin.blocks.release(p[0])
	return value
}

func (inv *invocation) extismEnvNamed(call string, address uint64) uint64 {
	key := inv.plugin.text(call, address)
	if len(key) > maxEnvKey {
		return 0
	}
	return inv.plugin.blocks.put([]byte(inv.call.Env[string(key)]))
}

// extismVarGet is var_get(key) -> value, 0 when unset.
func (inv *invocation) extismVarGet(p []uint64) uint64 {
	value := inv.plugin.blocks.put(inv.plugin.vars[string(inv.plugin.text("var_get", p[0]))])
	inv.plugin.blocks.release(p[0])
	return value
}

// extismVarSet is var_set(key, value); value 0 removes. Variables end with the
// invocation: another one is another instance.
func (inv *invocation) extismVarSet(p []uint64) uint64 {
	g := inv.plugin
	key, value := string(g.text("var_set", p[0])), g.text("var_set", p[1])
	if old, ok := g.vars[key]; ok {
		g.varSize -= len(key) + len(old) + varCost
		delete(g.vars, key)
	}
	if p[1] != 0 {
		size := len(key) + len(value) + varCost
		if g.varSize+size > maxVars {
			panic(runnel.Errorf(runnel.CodeFunctionError, "var_set: the variables are larger than %s together: store what outlives the call in the database, with runnel_db_query", byteSize(maxVars)))
		}
		g.varSize += size
		g.vars[key] = bytes.Clone(value)
	}
	g.blocks.release(p[1])
	g.blocks.release(p[0])
	return 0
}

func (inv *invocation) extismLog(call, level string, address uint64) uint64 {
	message := inv.plugin.text(call, address)
	inv.logs.add(time.Now(), level, string(message[:min(len(message), runnel.MaxLogSize+1)]))
	inv.plugin.blocks.release(address)
	return 0
}

// extismQuery is runnel_db_query(query) -> response: a block with
// {"sql","params"}, and one with what db_query answers. As with all functions that a
// host adds to Extism, the plug-in frees both.
func (inv *invocation) extismQuery(p []uint64) uint64 {
	text := inv.plugin.text("runnel_db_query", p[0])
	var query struct {
		SQL    string          `json:"sql"`
		Params json.RawMessage `json:"params"`
	}
	switch {
	case len(text) > maxExtismQuery:
		inv.respond(queryTooLarge)
	case json.Unmarshal(text, &query) != nil:
		inv.respond([]byte(`{"error":{"code":"QueryError","message":"runnel_db_query takes a JSON object with sql, a string, and params, an array"}}`))
	default:
		inv.query([]byte(query.SQL), query.Params)
	}
	return inv.plugin.blocks.put(inv.response)
}

// extismFetch is runnel_http_fetch(request) -> response, whose JSON is http_fetch's.
// Unlike http_request it tells of failures.
func (inv *invocation) extismFetch(p []uint64) uint64 {
	inv.fetch(inv.plugin.text("runnel_http_fetch", p[0]))
	return inv.plugin.blocks.put(inv.response)
}

// extismEnv is runnel_env(key) -> value, 0 when unset or empty. It is config_get,
// but the plug-in frees the key.
func (inv *invocation) extismEnv(p []uint64) uint64 { return inv.extismEnvNamed("runnel_env", p[0]) }

// extismUserLog is runnel_log(level, message), with the levels of log.
func (inv *invocation) extismUserLog(p []uint64) uint64 {
	message := inv.plugin.text("runnel_log", p[1])
	inv.logs.add(time.Now(), logLevel(p[0]), string(message[:min(len(message), runnel.MaxLogSize+1)]))
	return 0
}
