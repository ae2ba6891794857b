/** A `fetch` that answers from a list and remembers what it was asked. */

export interface Call {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: unknown;
  redirect: string | undefined;
}

/** A body with status 200 (JSON where it is no text), a whole answer, or a connection that breaks. */
export type FakeAnswer = { status: number; body?: unknown; headers?: Record<string, string> } | Error;

export interface FakeFetch {
  fetch: typeof fetch;
  calls: Call[];
}

/** Answers in turn, the last one for ever. */
export function fakeFetch(...answers: FakeAnswer[]): FakeFetch {
  const calls: Call[] = [];
  const queue = [...answers];
  return {
    calls,
    fetch: async (url, init) => {
      calls.push({
        method: init?.method ?? "GET",
        url: String(url),
        headers: { ...(init?.headers as Record<string, string>) },
        body: typeof init?.body === "string" ? JSON.parse(init.body) : undefined,
        redirect: init?.redirect,
      });
      const answer = queue.length > 1 ? queue.shift() : queue[0];
      if (!answer) throw new Error("no answer prepared");
      if (answer instanceof Error) throw answer;
      const { status, body = {}, headers = {} } = answer;
      return new Response(typeof body === "string" ? body : JSON.stringify(body), { status, headers });
    },
  };
}
