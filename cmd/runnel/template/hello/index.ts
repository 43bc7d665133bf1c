// Called at /functions/v1/hello. runnel dev deploys it again whenever it is saved.
export async function handler(event: HttpEvent<{ name?: string } | null>, context: Context) {
  const name = event.body?.name ?? "world";
  console.log("greeting", name);

  // SQL runs with the caller's rights; ${} makes a parameter, never text.
  const [row] = await db.query<{ time: string; role: string }>`select now() as time, current_user as role, ${name}::text as name`;

  return { hello: name, ...row, invocation: context.invocationId };
}
