import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { notify } from "../../../../runtime/agent/notify.ts";
import { fakeFetch } from "../../../helpers/fake-fetch.ts";

let terminals: string;
beforeEach(() => {
  terminals = mkdtempSync(join(tmpdir(), "vastlane-pts-"));
});
afterEach(() => rmSync(terminals, { recursive: true, force: true }));

const notice = { text: "this machine stops itself in 300 s", runId: "dev/box", webhook: undefined };

test("a notice is a line in every terminal, and in nothing else", async () => {
  for (const name of ["0", "12", "ptmx"]) writeFileSync(join(terminals, name), "");
  await notify({ ...notice, terminals });
  const line = "\r\n[vastlane] this machine stops itself in 300 s\r\n";
  expect(["0", "12", "ptmx"].map((name) => readFileSync(join(terminals, name), "utf8"))).toEqual([line, line, ""]);
});

test("the webhook gets it as the usual chats read it", async () => {
  const { fetch, calls } = fakeFetch({ status: 200 });
  await notify({ ...notice, terminals, webhook: "https://chat.example/hook", fetch });
  expect(calls).toMatchObject([
    {
      method: "POST",
      url: "https://chat.example/hook",
      body: { text: notice.text, content: notice.text, runId: "dev/box", host: expect.any(String) },
    },
  ]);
});

test.each([
  ["a webhook that is away", new Error("connect ECONNREFUSED")],
  ["a webhook that says no", { status: 500 }],
])("%s disturbs nothing", async (_, answer) => {
  await notify({ ...notice, terminals, webhook: "https://chat.example/hook", fetch: fakeFetch(answer).fetch });
});

test("nor do a webhook that is no address, and a machine without terminals", async () => {
  await notify({ ...notice, terminals: join(terminals, "none"), webhook: "not an address" });
});
