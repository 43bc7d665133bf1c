package sandbox

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/runnelhq/runnel"
	"github.com/runnelhq/runnel/sandbox/meter"
)

const hostModule = "runnel"

// hostFunction is one function that a guest may import. params and results name
// the types: i for i32, I for i64.
type hostFunction struct {
	module, name    string
	params, results string
	call            func(*invocation, []uint64) uint64
	quick           bool // is not preceded by check: it does little, or looks by itself
}

func (f hostFunction) types() (params, results []api.ValueType) {
	return valueTypes(f.params), valueTypes(f.results)
}

// meterType is the same type as the meter reports it.
func (f hostFunction) meterType() meter.FuncType {
	types := strings.NewReplacer("i", meter.I32, "I", meter.I64)
	return meter.FuncType{Params: types.Replace(f.params), Results: types.Replace(f.results)}
}

func valueTypes(s string) []api.ValueType {
	types := make([]api.ValueType, len(s))
	for i, c := range s {
		types[i] = api.ValueTypeI32
		if c == 'I' {
			types[i] = api.ValueTypeI64
		}
	}
	return types
}

// hostFunctions returns everything a guest may import.
func hostFunctions() []hostFunction {
	return slices.Concat(wasiFunctions(), runnelFunctions(), extismFunctions())
}

// runnelFunctions is the import module "runnel". These have no error number to
// return, so a pointer outside of memory ends the guest with an error that names
// the call.
func runnelFunctions() []hostFunction {
	ours := func(name, params, results string, call func(*invocation, []uint64) uint64) hostFunction {
		return hostFunction{module: hostModule, name: name, params: params, results: results, call: call}
	}
	return []hostFunction{
		ours("log", "iii", "", (*invocation).hostLog),
		ours("env", "ii", "i", (*invocation).hostEnv),
		ours("http_fetch", "ii", "i", (*invocation).hostFetch),
		ours("result_read", "ii", "i", (*invocation).hostResultRead),
		ours("db_query", "iiii", "i", (*invocation).hostQuery),
		{module: hostModule, name: "port_put", params: "iii", results: "i", call: (*invocation).hostPortPut, quick: true},
		{module: hostModule, name: "port_call", params: "iii", results: "i", call: (*invocation).hostPortCall, quick: true}, // it looks by itself
	}
}

// maxEnvKey is longer than any key of an environment; the host does not look at
// the rest of a key, however much of it there is.
const maxEnvKey = 256

// hostLog is log(level, msg, msg_len). A level that does not exist is info.
func (inv *invocation) hostLog(p []uint64) uint64 {
	message := inv.text("log", p[1], p[2])
	// One byte over the limit is enough to know that it is over.
	inv.logs.add(time.Now(), logLevel(p[0]), string(message[:min(len(message), runnel.MaxLogSize+1)]))
	return 0
}

func logLevel(n uint64) string {
	switch uint32(n) {
	case 0:
		return "debug"
	case 2:
		return "warn"
	case 3:
		return "error"
	}
	return "info"
}

// hostEnv is env(key, key_len) -> n: the value becomes the response, -1 when unset.
func (inv *invocation) hostEnv(p []uint64) uint64 {
	key := inv.text("env", p[0], p[1])
	value, ok := inv.call.Env[string(key[:min(len(key), maxEnvKey)])]
	if !ok || len(key) > maxEnvKey {
		inv.response = nil
		return api.EncodeI32(-1)
	}
	inv.response = []byte(value)
	return uint64(len(value))
}

// hostResultRead is result_read(ptr, cap) -> copied. It reads the response of the
// last host call from its start, as often as the guest likes.
func (inv *invocation) hostResultRead(p []uint64) uint64 {
	b := inv.text("result_read", p[0], uint64(min(uint32(p[1]), uint32(len(inv.response)))))
	return uint64(copy(b, inv.response))
}

// text returns guest memory or ends the guest. The host must not write to it
// except where the call says so.
func (inv *invocation) text(call string, ptr, n uint64) []byte {
	b, ok := inv.memory.view(uint32(ptr), uint32(n))
	if !ok {
		panic(runnel.Errorf(runnel.CodeFunctionError, "%s.%s was called with %d bytes at address %d, outside of the function's memory: pass a pointer and a length inside it", hostModule, call, uint32(n), uint32(ptr)))
	}
	return b
}

// instantiateHost makes the host modules. They hold no state: a call finds its
// invocation in the context, so all instances share them.
func instantiateHost(ctx context.Context, r wazero.Runtime) error {
	builders := map[string]wazero.HostModuleBuilder{}
	for _, f := range hostFunctions() {
		b := builders[f.module]
		if b == nil {
			b = r.NewHostModuleBuilder(f.module)
			builders[f.module] = b
		}
		call, hasResult, quick := f.call, f.results != "", f.quick
		params, results := f.types()
		b.NewFunctionBuilder().WithGoFunction(api.GoFunc(func(ctx context.Context, stack []uint64) {
			inv := invocationOf(ctx)
			if !quick {
				inv.check()
			}
			if v := call(inv, stack); hasResult {
				stack[0] = v
			}
		}), params, results).Export(f.name)
	}
	for _, b := range builders {
		if _, err := b.Instantiate(ctx); err != nil {
			return err
		}
	}
	return nil
}
