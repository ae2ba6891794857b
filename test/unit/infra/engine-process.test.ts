/** Whether an engine lives is a question to a port: a server on loopback plays it. */
import { createServer, type Server } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { answersAt, engineAddress, engineChildren, watchEngine } from "../../../infra/engine-process.ts";

async function engine(): Promise<{ address: string; server: Server }> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const address = server.address();
  return { server, address: `127.0.0.1:${typeof address === "object" ? address?.port : 0}` };
}

test.each([
  [["node", "dynamic-provider", "127.0.0.1:4000"], "127.0.0.1:4000"],
  [["node", "run", "--engine", "127.0.0.1:4001", "--monitor", "127.0.0.1:4002", "."], "127.0.0.1:4001"],
  [["node", "run", "--engine"], undefined],
  [["node", "provider"], undefined],
  [[], undefined],
])("the engine of %j is at %s", (argv, address) => {
  expect(engineAddress(argv)).toBe(address);
});

test("a port that answers is a living engine, a closed one is a dead engine", async () => {
  const { address, server } = await engine();
  expect(await answersAt(address)).toBe(true);
  await new Promise((resolve) => server.close(resolve));
  expect(await answersAt(address)).toBe(false);
});

test("the watch tells once, after two looks in a row without an answer", async () => {
  const { address, server } = await engine();
  let told = 0;
  const gone = new Promise<void>((resolve) => {
    const stop = watchEngine(
      address,
      () => {
        told++;
        resolve();
      },
      5,
    );
    onTestFinished(stop);
  });
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(told).toBe(0);
  await new Promise((resolve) => server.close(resolve));
  await gone;
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(told).toBe(1);
});

test("no engine works in a folder that is none of a project's", () => {
  expect(engineChildren("/no/such/folder")).toEqual([]);
});
