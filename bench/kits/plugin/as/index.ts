// A plug-in made with Extism's AssemblyScript PDK: "do value" in, text out.
import { Config, Host, LogLevel, Var } from "@extism/as-pdk";

export function run(): i32 {
  const input = Host.inputString();
  const space = input.indexOf(" ");
  const what = input.substring(0, space);
  const value = input.substring(space + 1);
  if (what == "echo") {
    Host.outputString(value);
  } else if (what == "config") {
    const v = Config.get(value);
    Host.outputString(v === null ? "none" : v);
  } else if (what == "vars") {
    const before = Var.getString(value);
    Var.set(value, Uint8Array.wrap(String.UTF8.encode("set")));
    const after = Var.getString(value);
    Host.outputString((before === null ? "none" : before) + " " + (after === null ? "none" : after));
  } else if (what == "log") {
    Host.log(LogLevel.Info, value);
    Host.outputString("logged");
  } else {
    return 1;
  }
  return 0;
}

export function myAbort(message: string | null, file: string | null, line: u32, column: u32): void {
  unreachable();
}
