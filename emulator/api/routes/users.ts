/** The account behind the key (vast-api.md 7.1). */
import { creditOf } from "../../billing/billing.ts";
import { round } from "../../market/random.ts";
import { type Call, ok, type Reply, type Route } from "../route.ts";

export const userRoutes: Route[] = [
  {
    method: "GET",
    path: "/api/v0/users/current/",
    scope: "user_read",
    call: "user",
    name: "api.user.show",
    handler: current,
  },
  {
    method: "PUT",
    path: "/api/v0/users/",
    scope: "user_write",
    call: "user",
    name: "api.user.update",
    handler: () => ok({ success: true }),
  },
  {
    method: "GET",
    path: "/api/v0/subaccounts/",
    scope: "user_read",
    call: "user",
    name: "api.subaccounts",
    handler: () => ok({ success: true, users: [] }),
  },
  {
    method: "GET",
    path: "/api/v0/users/me/ipaddrs/",
    scope: "user_read",
    call: "user",
    name: "api.user.ipaddrs",
    handler: ipAddresses,
  },
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
