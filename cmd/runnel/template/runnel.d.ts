// Types of what a Runnel function finds around it, besides the language and the web
// platform (fetch, Request, Response, URL, crypto, streams...), which TypeScript
// knows as "lib": ["ES2023", "WebWorker"]. docs/JAVASCRIPT.md of Runnel says which of
// the platform is there.
//
// This file declares globals; a function imports nothing to use them.

/** A value that JSON can hold. */
type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** The call of a function by HTTP. */
interface HttpEvent<Body = any> {
  trigger: "http";
  method: string;
  /** "/{name}" and what follows it, percent-encoded as it came. */
  path: string;
  query: Record<string, string | string[]>;
  /** Lower-case names. Credentials (authorization, cookie, apikey) are not here. */
  headers: Record<string, string>;
  /** The JSON of the body, or its text, or base64 when is_base64 is true; null when empty. */
  body: Body;
  is_base64?: true;
  /** sub of the caller's token, or null. */
  user_id: string | null;
  role: string;
  claims: Record<string, any>;
  request_id: string;
}

/** A change to a table, after it was committed. */
interface DatabaseEvent<Row = Record<string, any>> {
  trigger: "database";
  schema: string;
  table: string;
  operation: "INSERT" | "UPDATE" | "DELETE" | "TRUNCATE";
  old: Row | null;
  new: Row | null;
  /** With granularity "statement": at most 100 rows. */
  rows?: { old: Row | null; new: Row | null }[];
  timestamp: string;
  transaction_id: string | number;
}

/** A match of a schedule. */
interface ScheduleEvent<Payload = any> {
  trigger: "schedule";
  schedule: string;
  cron: string;
  timezone: string;
  /** The time that matched. */
  scheduled_time: string;
  /** The time that the run began. */
  actual_time: string;
  payload: Payload;
}

/** A call with runnel.invoke() in SQL. */
interface SqlEvent<Payload = any> {
  trigger: "sql";
  payload: Payload;
}

type RunnelEvent = HttpEvent | DatabaseEvent | ScheduleEvent | SqlEvent;

/** What a function may return to answer a call by HTTP. */
interface HttpResult {
  statusCode: number;
  headers?: Record<string, string | number | boolean | (string | number | boolean)[]>;
  /** A string is sent as it is, bytes as bytes, anything else as JSON. */
  body?: unknown;
  is_base64?: boolean;
}

/** The second argument of a handler, and the third of fetch. */
interface Context {
  /** The same for all attempts. */
  readonly invocationId: string;
  /** 1 for the first. */
  readonly attempt: number;
  readonly maxAttempts: number;
  /** When the function is stopped, in milliseconds since 1970. */
  readonly deadline: number;
  readonly functionName: string;
  readonly functionVersion: number;
  readonly trigger: RunnelEvent["trigger"];
  readonly env: Env;
  /** The body of the call as it came, byte for byte when it was JSON: what a signature is over. */
  readonly rawBody: string | undefined;
  /** Milliseconds until the deadline. */
  remainingTime(): number;
  /** Keeps the invocation open until the promise settles; the deadline still holds. */
  waitUntil(promise: PromiseLike<unknown>): void;
}

/** export const handler: Handler = async (event, context) => ... */
type Handler<Event = RunnelEvent, Result = unknown> = (event: Event, context: Context) => Result | PromiseLike<Result>;

/** export default { fetch(request, env, ctx) } satisfies FetchHandler */
interface FetchHandler {
  fetch(request: Request, env: Env, ctx: Context): Response | PromiseLike<Response>;
}

/** The function's environment: its configuration and its secrets. Declare your keys: interface Env { API_KEY: string } */
interface Env {
  [key: string]: string | undefined;
}

/** What can be a parameter of SQL. */
type SqlParameter = string | number | bigint | boolean | null | undefined | Date | ArrayBuffer | ArrayBufferView | Json | object;

interface SqlStatement {
  sql: string;
  params?: readonly SqlParameter[];
}

/** The rows of a query, an array with a few more properties. */
type Rows<Row = Record<string, any>> = Row[] & {
  readonly rows: Row[];
  readonly columns: { name: string; type: string }[];
  /** Rows returned, or changed when the statement returns none. */
  readonly rowCount: number;
};

/** What is thrown when SQL or a request fails. Not handled, it is a HostFunctionError. */
interface HostError extends Error {
  /** QueryError, PermissionDenied, RlsUnavailable, HostNotAllowed, FetchError, TooLarge... */
  code: string;
  sqlstate?: string;
  detail?: string;
  hint?: string;
  position?: number;
}

interface Database {
  /** One statement, one transaction: db.query("select $1", 1). */
  query<Row = Record<string, any>>(sql: string, ...params: SqlParameter[]): Promise<Rows<Row>>;
  /** The same with parameters in their places: db.query`select ${1}`. */
  query<Row = Record<string, any>>(sql: TemplateStringsArray, ...params: SqlParameter[]): Promise<Rows<Row>>;
  /** Several statements in one transaction. */
  batch(statements: readonly (string | SqlStatement | readonly [sql: string, ...params: SqlParameter[]])[]): Promise<Rows[]>;
  /** A statement for batch: db.sql`insert into t values (${1})`. */
  sql(sql: TemplateStringsArray, ...params: SqlParameter[]): { sql: string; params: SqlParameter[] };
}

/** SQL under the role and the claims of the caller. */
declare const db: Database;

/** The function's environment. */
declare const env: Env;

declare var process: { env: Env; [key: string]: any };

declare namespace Deno {
  const env: {
    get(name: string): string | undefined;
    has(name: string): boolean;
    toObject(): Record<string, string>;
  };
  /** Another way to write a function: Deno.serve((request) => new Response("hello")). */
  function serve(handler: (request: Request, env: Env, ctx: Context) => Response | Promise<Response>): unknown;
  function serve(options: object, handler: (request: Request, env: Env, ctx: Context) => Response | Promise<Response>): unknown;
}
