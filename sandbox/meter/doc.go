// Package meter makes a WebAssembly module safe to run and cheap to stop.
//
// Rewrite refuses what must not reach the engine (see Limits and Error) and
// rewrites the rest, so that the guest counts its own work down from a private
// global and calls the host each time the count runs out. In that call the host
// can end the guest, and the garbage collector can stop the world: native code
// can be interrupted nowhere else. No flag, signal or second goroutine is
// involved, and neither a recursion nor a loop without calls gets past it.
//
// # What is added
//
// The output imports mr.tick, (i32) -> i32, and exports the global mr_fuel. The
// guest subtracts what it is about to do and looks at the result:
//
//	fuel -= cost; if fuel < 0 { fuel = tick(fuel) }
//
// Where control flow parts or meets, each way pays what it owes, down to a small
// rest; the rest is charged in advance, at the cost of the most expensive way, so
// that short ways need no instructions of the meter's. An interpreter's switch of a
// thousand arms so charges each arm its own cost, and not that of the dearest.
// Checks stand where work can repeat, and where much was done since the last:
//
//   - At a branch back to a loop, which charges the most expensive way from the
//     loop's header to that branch. The look at the fuel is kept out of the hot
//     loop by nesting two loops. Small innermost loops are written several times
//     over, with one check for all copies.
//   - At the entry of a function. Functions without loops whose calls are known
//     to be few are left alone, and their callers pay for them (bounded); small
//     functions with other calls check only where they call (lazy). Either way
//     every cycle of calls contains a check.
//   - Before instructions whose work depends on an operand, such as memory.fill.
//   - Where a way without any of these is long, and soon behind calls: on the way
//     back from a recursion every activation has a rest to do, and passes no entry.
//
// # What is refused
//
// The meter's names, and every index that the input does not declare: past the
// input's indices lie the meter's own function, global, type, locals and labels,
// and a guest that could name them could refuel. Everything beyond WebAssembly
// 2.0. Everything beyond Limits, which also bound what compiling the module costs
// (estimate.go), since the engine's compiler is not made for hostile input.
//
// The output is encoded anew from what was decoded, so that the meter and the
// engine cannot disagree about what the input says. Custom sections are dropped,
// apart from the names of functions.
//
// # What is left to the host
//
// Types are checked by the engine. What rewriting accepts can still be invalid,
// but no invalid module becomes valid by it. Memory, the depth of the native
// stack, and the cost of its own functions are the host's to bound: the meter
// calls it at least once per slice of fuel.
package meter
