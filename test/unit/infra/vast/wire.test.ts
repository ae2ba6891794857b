import { expect, test } from "vitest";
import type { Contract } from "../../../../infra/vast/wire.ts";
import { readOffer, rentAnswer, toContract, toOffer, userAnswer } from "../../../../infra/vast/wire.ts";

test("an offer row is translated into our names and units", () => {
  const row = {
    id: 1000001,
    ask_contract_id: 1000001,
    machine_id: 7001,
    host_id: 301,
    gpu_name: "RTX 4090",
    num_gpus: 1,
    gpu_ram: 24564,
    cuda_max_good: 12.8,
    reliability: 0.9,
    reliability2: 0.995,
    verification: "verified",
    geolocation: "Oslo, NO",
    inet_down: 910.0,
    inet_down_cost: 0.001,
    inet_up_cost: 0.002,
    disk_space: 512.0,
    direct_port_count: 100,
    duration: 2592000.0,
    dph_base: 0.35,
    dph_total: 0.35139,
    min_bid: 0.14,
    storage_cost: 0.2,
    dlperf: 98.4,
    brand_new_field: { a: 1 },
  };
  expect(toOffer(row)).toEqual({
    id: 1000001,
    machineId: 7001,
    hostId: 301,
    gpuName: "RTX 4090",
    gpuCount: 1,
    gpuRamMB: 24564,
    cudaVersion: 12.8,
    reliability: 0.995,
    isVerified: true,
    geolocation: "Oslo, NO",
    downMbps: 910,
    downUsdPerGB: 0.001,
    upUsdPerGB: 0.002,
    diskSpaceGB: 512,
    directPorts: 100,
    durationS: 2592000,
    gpuPricePerHour: 0.35,
    minBidPerHour: 0.14,
    diskUsdPerGBMonth: 0.2,
    dlPerf: 98.4,
  });
});

test("an offer without a price can never be the cheapest, and one without an end lasts", () => {
  const offer = toOffer({ id: 1, machine_id: 2 });
  expect(offer).toMatchObject({
    gpuName: "unknown",
    isVerified: false,
    hostId: null,
    gpuPricePerHour: Number.POSITIVE_INFINITY,
    minBidPerHour: Number.POSITIVE_INFINITY,
    durationS: Number.POSITIVE_INFINITY,
  });
  expect(toOffer({ id: 1, machine_id: 2, dph_total: 0.4 }).gpuPricePerHour).toBe(0.4);
  expect(toOffer({ id: 1, machine_id: 2, dph_base: 0.3 }).minBidPerHour).toBe(0.3);
});

test.each([[{ machine_id: 2 }], [{ id: 1 }], [{ id: "1", machine_id: 2 }], [null], ["row"], [[]]])(
  "%j is no offer",
  (row) => {
    expect(readOffer(row)).toBeUndefined();
    expect(() => toOffer(row)).toThrow();
  },
);

const row = {
  id: 5001,
  machine_id: 7001,
  host_id: 301,
  label: "train-1",
  actual_status: "running",
  intended_status: "running",
  cur_state: "running",
  next_state: "running",
  status_msg: "success, running ubuntu_22.04/ssh\n",
  image_uuid: "ubuntu:22.04",
  extra_env: [["A", "b"]],
  ssh_host: "ssh5.vast.ai",
  ssh_port: 15001,
  public_ipaddr: "203.0.113.10 \n",
  ports: {
    "22/tcp": [
      { HostIp: "0.0.0.0", HostPort: "40022" },
      { HostIp: "::", HostPort: "40022" },
    ],
    "8080/tcp": [{ HostIp: "0.0.0.0", HostPort: "40080" }],
  },
  is_bid: true,
  min_bid: 0.2,
  dph_base: 0.22,
  dph_total: 0.23,
  storage_total_cost: 0.01,
  disk_space: 40.0,
  gpu_name: "RTX 4090",
  num_gpus: 1,
  gpu_ram: 24564,
  cuda_max_good: 12.8,
  reliability2: 0.99,
  verification: "verified",
  geolocation: "Oslo, NO",
  inet_down: 900,
  gpu_util: 97.5,
  start_date: 1770000000.5,
};

test("a contract row is translated into our names and units, the direct address first", () => {
  expect(toContract(row)).toEqual({
    id: 5001,
    machineId: 7001,
    hostId: 301,
    label: "train-1",
    actualStatus: "running",
    intendedStatus: "running",
    curState: "running",
    statusMessage: "success, running ubuntu_22.04/ssh",
    isBid: true,
    minBidPerHour: 0.2,
    gpuPricePerHour: 0.22,
    diskPricePerHour: 0.01,
    diskGB: 40,
    gpuName: "RTX 4090",
    gpuCount: 1,
    gpuRamMB: 24564,
    cudaVersion: 12.8,
    reliability: 0.99,
    isVerified: true,
    geolocation: "Oslo, NO",
    downMbps: 900,
    image: "ubuntu:22.04",
    gpuUtilPercent: 97.5,
    startedAt: 1770000000.5,
    sshUser: "root",
    addresses: [
      { kind: "direct", host: "203.0.113.10", port: 40022 },
      { kind: "proxy", host: "ssh5.vast.ai", port: 15001 },
    ],
  });
});

test("a contract that the market tells nothing about but its id is still a contract", () => {
  expect(toContract({ id: 5 })).toMatchObject({
    id: 5,
    label: null,
    actualStatus: null,
    isBid: false,
    isVerified: null,
    gpuPricePerHour: 0,
    addresses: [],
    sshUser: "root",
  });
});

test.each<[string, object, Partial<Contract>]>([
  ["a label with blanks around it is still ours", { label: " vl1:a:b:c:d \n" }, { label: "vl1:a:b:c:d" }],
  ["a null label is nobody's", { label: null }, { label: null }],
  ["a price as text", { dph_base: "0.25" }, { gpuPricePerHour: 0.25 }],
  ["a price that is none", { dph_base: "-", dph_total: 0.5 }, { gpuPricePerHour: 0.49 }],
  ["a load that is a text", { gpu_util: "n/a" }, { gpuUtilPercent: null }],
  ["is_bid as a number", { is_bid: 1 }, { isBid: true }],
  ["is_bid that is nothing", { is_bid: "?" }, { isBid: false }],
  [
    "the disk's price from its month",
    { storage_total_cost: null, storage_cost: 0.18 },
    { diskPricePerHour: expect.closeTo(0.01) },
  ],
  ["an unverified machine", { verification: "unverified" }, { isVerified: false }],
  ["a user of its own", { ssh_user: "tester" }, { sshUser: "tester" }],
  ["an empty user", { ssh_user: "" }, { sshUser: "root" }],
])("%s", (_what, changes, expected) => {
  expect(toContract({ ...row, ...changes })).toMatchObject(expected);
});

const PROXY = { kind: "proxy", host: "ssh5.vast.ai", port: 15001 };
test.each<[string, object, object[]]>([
  ["no ports", { ports: undefined }, [PROXY]],
  ["null ports", { ports: null }, [PROXY]],
  ["ports of a wrong type", { ports: "none" }, [PROXY]],
  ["no port for SSH", { ports: { "80/tcp": [{ HostPort: "1" }] } }, [PROXY]],
  ["an empty binding", { ports: { "22/tcp": [] } }, [PROXY]],
  ["a null binding", { ports: { "22/tcp": null } }, [PROXY]],
  ["a port that is none", { ports: { "22/tcp": [{ HostPort: "x" }] } }, [PROXY]],
  ["no public address", { public_ipaddr: "  " }, [PROXY]],
  [
    "a port as a number",
    { ports: { "22/tcp": [{ HostPort: 7 }] }, ssh_host: null },
    [{ kind: "direct", host: "203.0.113.10", port: 7 }],
  ],
  ["a blank proxy", { ports: null, ssh_host: " " }, []],
  ["a proxy without a port", { ports: null, ssh_port: null }, []],
  ["a proxy port as text", { ports: null, ssh_port: "15001" }, [PROXY]],
])("addresses with %s", (_what, changes, addresses) => {
  expect(toContract({ ...row, ...changes }).addresses).toEqual(addresses);
});

test.each([[{}], [{ id: null }], [{ id: "5001" }], [{ id: 5, label: 7 }], [null], ["x"]])(
  "%j is an error and never skipped, as a contract that is not seen bills unseen",
  (broken) => {
    expect(() => toContract(broken)).toThrow();
  },
);

test("answers tolerate what is missing and refuse what decides", () => {
  expect(rentAnswer.parse({ success: true, new_contract: 7, instance_api_key: "x" })).toMatchObject({
    new_contract: 7,
  });
  expect(rentAnswer.safeParse({ new_contract: "7" }).success).toBe(false);
  expect(userAnswer.parse({ id: 42 })).toMatchObject({ id: 42 });
  expect(userAnswer.safeParse({ credit: 5 }).success).toBe(false);
});
