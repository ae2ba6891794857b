/**
 * As much of S3 as the SDK needs for objects in memory, without any check of signatures: its purpose is to answer
 * wrongly, late or not at all, exactly where a test says so. For a store that behaves, see the emulated one.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";

export interface StubRequest {
  method: string;
  /** Without the bucket. */
  key: string;
  query: URLSearchParams;
  headers: IncomingMessage["headers"];
  body: Buffer;
}

export interface StubS3 {
  endpoint: string;
  bucket: string;
  objects: Map<string, Buffer>;
  /** Every request that came, in order. */
  requests: StubRequest[];
  /** Keys on one page of a list. */
  pageSize: number;
  /** Connections that were opened so far. */
  connections(): number;
  /** Does what it likes with a request; true: the stub has nothing more to do. */
  intercept: ((request: StubRequest, response: ServerResponse) => boolean | Promise<boolean>) | undefined;
  close(): Promise<void>;
}

/** `tls`: certificate and key, for https. */
export async function startStubS3(tls?: { cert: Buffer; key: Buffer }): Promise<StubS3> {
  const bucket = "runs";
  const objects = new Map<string, Buffer>();
  const uploads = new Map<string, Map<number, Buffer>>();
  const requests: StubRequest[] = [];
  const sockets = new Set<Socket>();
  let opened = 0;

  const handle = async (incoming: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of incoming) chunks.push(chunk as Buffer);
    } catch {
      return; // the client went away
    }
    const url = new URL(incoming.url ?? "/", "http://stub");
    const request: StubRequest = {
      method: incoming.method ?? "",
      key: decodeURIComponent(url.pathname.slice(bucket.length + 2)),
      query: url.searchParams,
      headers: incoming.headers,
      body: Buffer.concat(chunks),
    };
    requests.push(request);
    if (await stub.intercept?.(request, response)) return;
    answer(request, response);
  };
  const server = tls ? createTlsServer(tls, handle) : createServer(handle);
  server.on("connection", (socket) => {
    opened += 1;
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const stub: StubS3 = {
    endpoint: `${tls ? "https" : "http"}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    bucket,
    objects,
    requests,
    pageSize: 1000,
    connections: () => opened,
    intercept: undefined,
    close: () =>
      new Promise((done) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => done());
      }),
  };
  return stub;

  function answer(request: StubRequest, response: ServerResponse): unknown {
    const { method, key, query, headers, body } = request;
    const found = objects.get(key);
    const uploadId = query.get("uploadId");
    if (method === "POST" && query.has("uploads")) {
      const id = `upload-${uploads.size + 1}`;
      uploads.set(id, new Map());
      return xml(
        response,
        200,
        `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`,
      );
    }
    if (uploadId !== null) {
      const parts = uploads.get(uploadId);
      if (!parts) return sendError(response, 404, "NoSuchUpload");
      if (method === "PUT") {
        parts.set(Number(query.get("partNumber")), body);
        return response.writeHead(200, { etag: etagOf(body) }).end();
      }
      objects.set(key, Buffer.concat([...parts].sort(([a], [b]) => a - b).map(([, part]) => part)));
      uploads.delete(uploadId);
      return xml(response, 200, "<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>");
    }
    if (method === "PUT") {
      const isRefused =
        (headers["if-none-match"] === "*" && found !== undefined) ||
        (headers["if-match"] !== undefined && (!found || headers["if-match"] !== etagOf(found)));
      if (isRefused) return sendError(response, 412, "PreconditionFailed");
      objects.set(key, body);
      return response.writeHead(200, { etag: etagOf(body) }).end();
    }
    if (method === "DELETE") {
      objects.delete(key);
      return response.writeHead(204).end();
    }
    if (key === "") return list(query, response);
    if (!found) return sendError(response, 404, "NoSuchKey", method === "HEAD");
    const etag = etagOf(found);
    if (headers["if-match"] !== undefined && headers["if-match"] !== etag) {
      return sendError(response, 412, "PreconditionFailed");
    }
    const range = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? "");
    const [from, to] = range ? [Number(range[1]), Number(range[2]) + 1] : [0, found.length];
    const content = found.subarray(from, to);
    const common = { etag, "last-modified": new Date().toUTCString(), "content-length": content.length };
    const more = range ? { "content-range": `bytes ${from}-${from + content.length - 1}/${found.length}` } : {};
    response.writeHead(range ? 206 : 200, { ...common, ...more });
    return response.end(method === "HEAD" ? undefined : content);
  }

  function list(query: URLSearchParams, response: ServerResponse): void {
    const after = query.get("continuation-token") ?? "";
    const keys = [...objects.keys()].filter((key) => key.startsWith(query.get("prefix") ?? "") && key > after).sort();
    const isCut = keys.length > stub.pageSize;
    const page = keys.slice(0, stub.pageSize);
    const contents = page.map(
      (key) => `<Contents><Key>${key}</Key><Size>${objects.get(key)?.length}</Size></Contents>`,
    );
    const next = isCut ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : "";
    const cut = `<IsTruncated>${isCut}</IsTruncated>`;
    xml(response, 200, `<ListBucketResult>${cut}${next}${contents.join("")}</ListBucketResult>`);
  }
}

/** An answer in S3's words; chunked, as AWS sends it, and without a body for HEAD. */
export function sendError(response: ServerResponse, status: number, code: string, isHead = false, more = ""): void {
  response.writeHead(status, { "content-type": "application/xml" });
  if (!isHead) response.write(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>Words of the store</Message>`);
  response.end(isHead ? undefined : `${more}</Error>`);
}

function xml(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { "content-type": "application/xml" }).end(`<?xml version="1.0"?>${body}`);
}

export const etagOf = (body: Buffer) => `"${createHash("md5").update(body).digest("hex")}"`;
