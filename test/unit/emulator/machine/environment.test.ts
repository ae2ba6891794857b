import { expect, test } from "vitest";
import { injectedEnvironment } from "../../../../emulator/machine/environment.ts";

const spec = {
  contractId: 42,
  hostname: "C.42",
  gpus: { name: "RTX 3090", count: 2, ramMB: 24576, maxPowerW: 350, driver: "550", cuda: "12.4" },
  diskGB: 10,
  env: { CONTAINER_API_KEY: "key", PUBLIC_IPADDR: "203.0.113.9", TZ: "UTC" },
  onstart: null,
  authorizedKeys: ["ssh-ed25519 AAAA one"],
  forwards: [
    { container: 22, host: 41000 },
    { container: 22, host: 41001 },
    { container: 8080, host: 41002 },
  ],
};

test("tells the first process who and where it is; what the market sets itself wins", () => {
  const here = { apiUrl: "http://10.0.0.1:4000", s3Url: "http://10.0.0.1:4001", home: "/root", path: "/bin" };
  expect(injectedEnvironment(spec, here)).toEqual({
    PATH: "/bin",
    HOME: "/root",
    LANG: "C.UTF-8",
    CONTAINER_ID: "42",
    VAST_CONTAINERLABEL: "C.42",
    CONTAINER_API_KEY: "key",
    PUBLIC_IPADDR: "203.0.113.9",
    VAST_TCP_PORT_22: "41000",
    VAST_TCP_PORT_8080: "41002",
    GPU_COUNT: "2",
    SSH_PUBLIC_KEY: "ssh-ed25519 AAAA one",
    VAST_URL: "http://10.0.0.1:4000",
    VASTLANE_EMULATOR_S3: "http://10.0.0.1:4001",
    TZ: "UTC",
  });
});
