/** SSH keys of the account and of single contracts (vast-api.md 6). */

import type { World } from "../../market/world.ts";
import type { SshKeyRecord } from "../../state/records.ts";
import { ApiError, type Call, del, get, idParam, ok, post, put, type Reply, type Route } from "../route.ts";
import { contractOf } from "./manage.ts";

const readKeys = { scope: "user_read", call: "ssh" } as const;
const writeKeys = { scope: "user_write", call: "ssh" } as const;
const readAttached = { scope: "instance_read", call: "ssh" } as const;
const writeAttached = { scope: "instance_write", call: "ssh" } as const;

export const sshKeyRoutes: Route[] = [
  get("/api/v0/ssh/", readKeys, "api.ssh.list", list),
  post("/api/v0/ssh/", writeKeys, "api.ssh.create", create, { threshold: 1 }),
  put("/api/v0/ssh/:id/", writeKeys, "api.ssh.update", update, { threshold: 1 }),
  del("/api/v0/ssh/:id/", writeKeys, "api.ssh.delete", remove),
  get("/api/v0/instances/:id/ssh/", readAttached, "api.instance.ssh.list", listAttached),
  post("/api/v0/instances/:id/ssh/", writeAttached, "api.instance.ssh.attach", attach),
  del("/api/v0/instances/:id/ssh/:keyId/", writeAttached, "api.instance.ssh.detach", detach, { threshold: 2 }),
];

function list(call: Call): Reply {
  const keys = keysOf(call.world, call.account.id);
  if (keys.length === 0) throw new ApiError(404, "not_found", "error 404: No SSH keys found for this user");
  return ok(
    keys.map((key) => ({
      id: key.id,
      user_id: key.accountId,
      key: key.key,
      created_at: iso(key.createdAt),
      deleted_at: null,
    })),
  );
}

function create(call: Call): Reply {
  const record: SshKeyRecord = {
    id: call.world.nextId(),
    accountId: call.account.id,
    key: keyText(call),
    createdAt: call.t,
    deletedAt: null,
  };
  call.world.sshKeys.save(record.id, record);
  return ok({ success: true, key: publicView(record) });
}

function update(call: Call): Reply {
  const record = ownKey(call);
  record.key = keyText(call);
  call.world.sshKeys.save(record.id, record);
  return ok({ success: true, key: publicView(record) });
}

/** Soft: the row stays, with its time of deletion. */
function remove(call: Call): Reply {
  const record = ownKey(call);
  record.deletedAt = call.t;
  call.world.sshKeys.save(record.id, record);
  return ok({ success: true });
}

function listAttached(call: Call): Reply {
  const { sshKeys } = contractOf(call, idParam(call));
  const keys = sshKeys.map(({ id, key }) => ({ id, name: key.split(" ")[2] ?? "", public_key: key }));
  return ok({ success: true, ssh_keys: JSON.stringify(keys) });
}

function attach(call: Call): Reply {
  const contract = contractOf(call, idParam(call));
  const text = keyText(call);
  if (!contract.sshKeys.some(({ key }) => key === text)) {
    const known = keysOf(call.world, call.account.id).find((one) => one.key === text);
    contract.sshKeys = [...contract.sshKeys, { id: known?.id ?? call.world.nextId(), key: text }];
    call.world.contracts.save(contract.id, contract);
    call.world.machines.setAuthorizedKeys(
      contract.id,
      contract.sshKeys.map(({ key }) => key),
    );
  }
  return ok({ success: true, msg: `SSH key added to instance ${contract.id}` });
}

function detach(call: Call): Reply {
  const contract = contractOf(call, idParam(call));
  const keyId = idParam(call, "keyId");
  if (!contract.sshKeys.some(({ id }) => id === keyId))
    throw new ApiError(404, "no_such_ssh_key", `error 404: no_such_ssh_key ${keyId}`);
  contract.sshKeys = contract.sshKeys.filter(({ id }) => id !== keyId);
  call.world.contracts.save(contract.id, contract);
  call.world.machines.setAuthorizedKeys(
    contract.id,
    contract.sshKeys.map(({ key }) => key),
  );
  return ok({ success: true, msg: `SSH key removed from instance ${contract.id}` });
}

function keysOf(world: World, accountId: number): SshKeyRecord[] {
  return world.sshKeys.values().filter((one) => one.accountId === accountId && one.deletedAt === null);
}

function ownKey(call: Call): SshKeyRecord {
  const id = idParam(call);
  const record = keysOf(call.world, call.account.id).find((one) => one.id === id);
  if (!record) throw new ApiError(400, "no_ssh_key", `error 400: no_ssh_key ${id}`);
  return record;
}

function keyText(call: Call): string {
  const text = String(call.body.ssh_key ?? "").trim();
  if (!/^(ssh|ecdsa|sk)-\S+ \S+/.test(text))
    throw new ApiError(400, "no_ssh_key", "error 400: ssh_key must be a public key in OpenSSH format");
  return text;
}

function publicView(record: SshKeyRecord): Record<string, unknown> {
  return {
    id: record.id,
    user_id: record.accountId,
    public_key: record.key,
    created_at: iso(record.createdAt),
    deleted_at: null,
  };
}

function iso(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
