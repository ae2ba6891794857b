/**
 * Transfers over https, as with every store on the internet, by a process of its own: Node takes a certificate that it
 * does not know only from its environment at its start. The same process shows that open connections end with it.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { execa } from "execa";
import { expect, onTestFinished, test } from "vitest";
import { findProgram } from "../../../common/programs.ts";
import { startStubS3 } from "../../helpers/stub-s3.ts";

const hasOpenssl = findProgram("openssl", process.env.PATH) !== undefined;
const STORE = resolve(import.meta.dirname, "../../../runtime/store/index.ts");

const CLIENT = `
import { openStore } from ${JSON.stringify(STORE)};
const [endpoint, from, to, bytes] = process.argv.slice(2);
const keys = { accessKeyId: "key", secretAccessKey: "secret" };
const store = openStore({ endpoint, region: "us-east-1", bucket: "runs", prefix: "tls", ...keys }, { retryMs: 0 });
await store.put("small", "text");
await store.upload("file", from);
await store.download("file", to, Number(bytes));
console.log((await store.get("small")).body.toString());
`;

test.runIf(hasOpenssl).for(["127.0.0.1", "localhost"])("a file goes to %s and back over https", async (host) => {
  const dir = mkdtempSync(join(tmpdir(), "vastlane-tls-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const [cert, key] = [join(dir, "cert.pem"), join(dir, "key.pem")];
  const names = ["-subj", "/CN=stub", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"];
  execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, ...names], {
    stdio: "ignore",
  });
  const stub = await startStubS3({ cert: readFileSync(cert), key: readFileSync(key) });
  onTestFinished(() => stub.close());
  const content = Buffer.alloc(40 << 20, "vastlane");
  writeFileSync(join(dir, "from"), content);
  writeFileSync(join(dir, "client.mts"), CLIENT);
  const endpoint = stub.endpoint.replace("127.0.0.1", host);
  const args = [join(dir, "client.mts"), endpoint, join(dir, "from"), join(dir, "to"), String(content.length)];

  const env = { PATH: process.env.PATH, NODE_EXTRA_CA_CERTS: cert };
  const ran = await execa(process.execPath, args, { env, extendEnv: false, timeout: 30_000 });
  expect(ran.stdout).toBe("text");
  expect(readFileSync(join(dir, "to")).equals(content)).toBe(true);
  expect(stub.requests.filter(({ method, headers }) => method === "GET" && headers.range)).toHaveLength(3);
  // The store checks what came against these, over https too.
  for (const { headers } of stub.requests.filter(({ method }) => method === "PUT")) {
    expect(headers["x-amz-content-sha256"]).toMatch(/^[0-9a-f]{64}$/);
  }

  const stranger = await execa(process.execPath, args, {
    env: { PATH: process.env.PATH },
    extendEnv: false,
    reject: false,
  });
  expect(stranger.stderr).toContain("VL_STORE_DOWN");
  expect(stranger.stderr).toMatch(/self-signed certificate/);
});
