/** The account behind the key (vast-api.md 7.1). */
import { creditOf } from "../../billing/billing.ts";
import { round } from "../../market/random.ts";
import { ApiError, type Call, del, get, ok, post, put, type Reply, type Route } from "../route.ts";

const read = { scope: "user_read", call: "user" } as const;
const write = { scope: "user_write", call: "user" } as const;

export const userRoutes: Route[] = [
  get("/api/v0/users/current/", read, "api.user.show", current),
  put("/api/v0/users/", write, "api.user.update", () => ok({ success: true })),
  get("/api/v0/subaccounts/", read, "api.subaccounts", () => ok({ success: true, users: [] })),
  get("/api/v0/users/me/ipaddrs/", read, "api.user.ipaddrs", ipAddresses),
  get("/api/v0/secrets/", read, "api.secrets.list", secrets),
  post("/api/v0/secrets/", write, "api.secrets.create", setSecret),
  put("/api/v0/secrets/", write, "api.secrets.update", setSecret),
  del("/api/v0/secrets/", write, "api.secrets.delete", removeSecret),
];

function current(call: Call): Reply {
  const { world, account, key } = call;
  const sshKey = world.sshKeys.values().find((one) => one.accountId === account.id && one.deletedAt === null);
  return ok({
    id: account.id,
    username: account.name,
    email: `${account.name}@example.test`,
    fullname: null,
    balance: 0,
    credit: round(creditOf(world, account.id), 6),
    ssh_key: sshKey?.key ?? null,
    balance_threshold: 0,
    balance_threshold_enabled: false,
    autobill_threshold: null,
    has_billing: true,
    can_pay: true,
    email_verified: true,
    host_agreement_accepted: false,
    got_signup_credit: 0,
    billed_expected: 0,
    billed_verified: 0,
    paid_expected: 0,
    paid_verified: account.deposited,
    sid: `emulator-${account.id}`,
    key_id: key.id,
  });
}

function ipAddresses(call: Call): Reply {
  return ok({ results: [{ ip: "127.0.0.1", first_seen: call.world.market.birth, first_location: "loopback" }] });
}

/** Variables for all new contracts; only names and values, as the account's owner set them. */
function secrets({ account }: Call): Reply {
  return ok({ success: true, secrets: account.secrets });
}

function setSecret(call: Call): Reply {
  const { world, account } = call;
  account.secrets = { ...account.secrets, [secretName(call)]: String(call.body.value ?? "") };
  world.accounts.save(account.id, account);
  return ok({ success: true, msg: "Environment variable saved" });
}

function removeSecret(call: Call): Reply {
  const { world, account } = call;
  const { [secretName(call)]: _, ...rest } = account.secrets;
  account.secrets = rest;
  world.accounts.save(account.id, account);
  return ok({ success: true, msg: "Environment variable deleted" });
}

/** The market stores names in capitals. */
function secretName(call: Call): string {
  const name = String(call.body.key ?? "").toUpperCase();
  if (!/^[A-Z_][A-Z0-9_]*$/.test(name)) throw new ApiError(400, "invalid_args", "error 400: key must be a name");
  return name;
}
