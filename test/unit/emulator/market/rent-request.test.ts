import { expect, test } from "vitest";
import { wantedPorts } from "../../../../emulator/market/machine-spec.ts";
import { parseRentRequest, RequestError } from "../../../../emulator/market/rent-request.ts";

const image = { image: "ubuntu:22.04" };

test("reads what the official client sends", () => {
  const request = parseRentRequest({
    client_id: "me",
    image: "ubuntu:22.04",
    env: { A: "b", "-p 8080:8080": "1" },
    price: null,
    disk: 20,
    label: "t1",
    extra: null,
    onstart: "echo hi",
    image_login: null,
    python_utf8: false,
    cancel_unavail: false,
    template_hash_id: null,
    user: null,
    runtype: "ssh_direc ssh_proxy",
  });
  expect(request).toEqual({
    image: "ubuntu:22.04",
    env: [
      ["A", "b"],
      ["-p 8080:8080", "1"],
    ],
    bid: null,
    diskGB: 20,
    label: "t1",
    onstart: "echo hi",
    args: [],
    runtype: "ssh_direc ssh_proxy",
    templateHash: null,
    cancelUnavail: false,
    targetStopped: false,
    isVm: false,
  });
});

test.each([
  ["no image and no template", {}, "invalid_args"],
  ["a disk that is none", { ...image, disk: -1 }, "invalid_args"],
  ["a disk as a word", { ...image, disk: "big" }, "invalid_args"],
  ["a bid of nothing", { ...image, price: 0 }, "invalid_price"],
  ["a bid beyond all reason", { ...image, price: 1000 }, "invalid_price"],
  ["a label without end", { ...image, label: "x".repeat(1025) }, "label_too_long"],
  ["a start script beyond 16 KB", { ...image, onstart: "x".repeat(16_385) }, "invalid_args"],
  ["an env that is a list", { ...image, env: [1] }, "invalid_args"],
])("refuses %s", (_, body, code) => {
  try {
    parseRentRequest(body);
    expect.unreachable();
  } catch (error) {
    expect(error).toBeInstanceOf(RequestError);
    expect((error as RequestError).code).toBe(code);
  }
});

test.each([
  [{ ...image }, { runtype: "ssh", diskGB: 8, cancelUnavail: true }],
  [
    { ...image, price: 0.2 },
    { cancelUnavail: false, bid: 0.2 },
  ],
  [
    { ...image, target_state: "stopped" },
    { cancelUnavail: false, targetStopped: true },
  ],
  [
    { ...image, args: ["-c", "sleep 1"] },
    { runtype: "args", args: ["-c", "sleep 1"] },
  ],
  [
    { ...image, args_str: "-c 'sleep 1'" },
    { runtype: "args", args: ["-c", "sleep 1"] },
  ],
  [{ template_hash_id: "H", image: null }, { templateHash: "H" }],
  [{ ...image, label: "" }, { label: null }],
])("fills in the market's defaults for %j", (body, expected) => {
  expect(parseRentRequest(body)).toMatchObject(expected);
});

test("takes docker flags in a text as the pairs that the client makes of them", () => {
  const { env } = parseRentRequest({
    ...image,
    env: "-e A='b c' -p 8080:8080 -p 70000:70000/udp -h host1 -v vol:/data --gpus all",
  });
  expect(env).toEqual([
    ["A", "b c"],
    ["-p 8080:8080", "1"],
    ["-p 70000:70000/udp", "1"],
    ["-h", "host1"],
    ["-v vol:/data", "1"],
  ]);
});

test.each([
  ["ssh_direc ssh_proxy", [["-p 8080:8080", "1"]], ["22/tcp", "8080/tcp"]],
  [
    "ssh",
    [
      ["-p 6006", "1"],
      ["-p 70000:70000/udp", "1"],
    ],
    ["22/tcp", "6006/tcp", "70000/udp"],
  ],
  ["jupyter_direc ssh_direc ssh_proxy", [["-p 8080:8080", "1"]], ["22/tcp", "8080/tcp"]],
  [
    "args",
    [
      ["-p 10022:10022", "1"],
      ["A", "b"],
    ],
    ["10022/tcp"],
  ],
] as [string, [string, string][], string[]][])("maps the ports of %s with %j", (runtype, env, expected) => {
  expect(wantedPorts({ runtype, env })).toEqual(expected);
});
