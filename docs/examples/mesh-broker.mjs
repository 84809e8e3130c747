// A message broker for `holdfast mesh` in one file, to start from: who is who, what is sent, what is pushed (docs/mesh.md).
// It needs the package `ws`, listens on this machine only, and keeps messages in memory.
//
//     node mesh-broker.mjs <port> <folder> <name>...
//
// Each name becomes a member of the mesh `demo`: <folder>/<name>/config.json has its keys and is the configuration folder
// of its daemon. A folder that is there already is used as it is.
import { createPublicKey, generateKeyPairSync, randomBytes, verify } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { WebSocketServer } from 'ws';

const [port, folder, ...names] = process.argv.slice(2);
if (!/^\d+$/.test(port ?? '') || folder === undefined || names.some((name) => !/^[\w-]+$/.test(name))) {
  console.error('usage: node mesh-broker.mjs <port> <folder> <name>...   (names of letters, digits, _ and -)');
  process.exit(2);
}
const brokerUrl = `ws://127.0.0.1:${port}/ws`;
const mostMessageBytes = 65_536;
const mostWaiting = 1000;
const longestSkewMs = 60_000;
const pushAgainMs = 30_000;
const silenceMs = 75_000;

/** Members by id: { meshId, memberId, pubkey, name }. A broker knows public keys only. */
const members = new Map();
/** Accepted connections: { socket, member, hello, status, heardAt, … }. */
const connections = new Set();
/** Direct messages by the key of their receiver, oldest first, until `client_ack`: { push, pushedAt }. */
const mailboxes = new Map();

// ---- members

/** A configuration folder that only its owner reads; the secret key in it is the member's alone. */
function makeFolder(name) {
  const home = join(folder, name);
  const file = join(home, 'config.json');
  if (!existsSync(file)) {
    mkdirSync(home, { recursive: true, mode: 0o700 });
    const { d, x } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
    const [seed, pubkey] = [d, x].map((part) => Buffer.from(part, 'base64url').toString('hex'));
    const mesh = {
      ...{ meshId: 'demo', memberId: name, slug: 'demo', name: 'Demo', pubkey, secretKey: seed + pubkey, brokerUrl },
      ...{ joinedAt: new Date().toISOString(), inviteVersion: 1 },
    };
    writeFileSync(file, `${JSON.stringify({ version: 1, displayName: name, meshes: [mesh] }, null, 2)}\n`, {
      mode: 0o600,
    });
  }
}

function readMember(name) {
  const { meshes } = JSON.parse(readFileSync(join(folder, name, 'config.json'), 'utf8'));
  for (const { meshId, memberId, pubkey, brokerUrl: url } of meshes) {
    members.set(memberId, { meshId, memberId, pubkey, name });
    mailboxes.set(pubkey, []);
    if (url !== brokerUrl) {
      console.log(`# ${name} looks for its broker at ${url}: change brokerUrl in its config.json, or our port`);
    }
  }
}

/** Why a hello is not from one of our members; undefined when it is. */
function refusal({ meshId, memberId, pubkey, timestamp, signature }) {
  if (!Number.isFinite(timestamp) || !/^[0-9a-f]{128}$/.test(signature)) {
    return 'malformed';
  }
  if (Math.abs(Date.now() - timestamp) > longestSkewMs) {
    return 'timestamp_skew';
  }
  const member = members.get(memberId);
  if (member === undefined || member.meshId !== meshId || member.pubkey !== pubkey) {
    return 'unauthorized';
  }
  const x = Buffer.from(pubkey, 'hex').toString('base64url');
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  const signed = Buffer.from(`${meshId}|${memberId}|${pubkey}|${timestamp}`);
  return verify(null, signed, key, Buffer.from(signature, 'hex')) ? undefined : 'bad_signature';
}

// ---- frames

const say = ({ socket }, frame) => socket.send(JSON.stringify(frame));
const newId = () => randomBytes(24).toString('base64url');
const othersOf = ({ member, socket }) =>
  [...connections].filter((other) => other.socket !== socket && other.member.meshId === member.meshId);

function hello(socket, frame) {
  const why = refusal(frame);
  if (why !== undefined) {
    say({ socket }, { type: 'error', code: why, message: `hello rejected: ${why}` });
    socket.close(1008, why);
    return undefined;
  }
  const member = members.get(frame.memberId);
  for (const old of connections) {
    if (old.member === member && old.hello.sessionId === frame.sessionId) {
      old.socket.close(1000, 'session_replaced');
    }
  }
  const connection = { socket, member, hello: frame, connectedAt: new Date().toISOString() };
  Object.assign(connection, { status: 'idle', summary: null, visible: true, profile: {} });
  connections.add(connection);
  say(connection, {
    ...{ type: 'hello_ack', presenceId: newId(), memberDisplayName: member.name },
    memberProfile: { roleTag: null, groups: [], messageMode: 'push' },
  });
  announce('peer_joined', connection);
  // All of it, in the order in which it came: what was pushed to an earlier connection may not have arrived.
  for (const waiting of mailboxes.get(member.pubkey)) {
    waiting.pushedAt = 0;
  }
  pushWaiting(connection);
  console.log(`# ${member.name} is connected`);
  return connection;
}

/** Everybody hears who comes and who goes. A broker for many would wait some time before it says that somebody is gone. */
function announce(event, connection) {
  const { member, hello } = connection;
  for (const other of othersOf(connection)) {
    say(other, {
      ...{ type: 'push', subtype: 'system', event, messageId: newId(), meshId: member.meshId, senderPubkey: 'system' },
      eventData: { name: hello.displayName, pubkey: member.pubkey, groups: [] },
      ...{ priority: 'low', nonce: '', ciphertext: '', createdAt: new Date().toISOString() },
    });
  }
}

/** Takes a message for one member, or for all, and answers with an ack: the message is ours from there on. */
function send(sender, { id, targetSpec, priority, nonce, ciphertext, client_message_id, request_fingerprint }) {
  const bytes = `${targetSpec}${nonce}${ciphertext}`.length;
  const mailbox = mailboxes.get(targetSpec);
  const isDirect = !/^[*@#]/.test(targetSpec);
  let error;
  if (bytes > mostMessageBytes) {
    error = `payload too large: ${bytes} bytes > MAX_MESSAGE_BYTES=${mostMessageBytes}`;
  } else if (isDirect && mailbox === undefined) {
    error = 'no connected peer for target (not online, or targetSpec is your own key without another session)';
  } else if (isDirect && mailbox.length >= mostWaiting) {
    error = `mailbox full: ${mostWaiting} messages wait for this member`;
  }
  if (error !== undefined) {
    say(sender, { type: 'ack', id, messageId: '', queued: false, error });
    return;
  }
  const { member, hello } = sender;
  const messageId = newId();
  const push = {
    ...{ type: 'push', messageId, meshId: member.meshId, senderPubkey: member.pubkey, priority, nonce, ciphertext },
    createdAt: new Date().toISOString(),
  };
  if (isDirect) {
    // The ciphertext is for the receiver's key. Nothing is compared with earlier messages: the receiver knows their keys.
    mailbox.push({ push: { ...push, client_message_id, request_fingerprint }, pushedAt: 0 });
  }
  say(sender, { type: 'ack', id, messageId, queued: true });
  for (const other of isDirect ? connections : othersOf(sender)) {
    if (isDirect) {
      pushWaiting(other);
    } else if (!targetSpec.startsWith('@') || other.hello.groups?.includes(targetSpec.slice(1))) {
      const topic = targetSpec.startsWith('#') ? { topic: targetSpec.slice(1) } : {};
      const { pubkey, memberId } = member;
      say(other, {
        ...push,
        senderName: hello.displayName,
        senderMemberPubkey: pubkey,
        senderMemberId: memberId,
        ...topic,
      });
    }
  }
}

/** What waits for this member and was not pushed a moment ago. Who is busy gets only what is urgent. */
function pushWaiting(connection) {
  for (const waiting of mailboxes.get(connection.member.pubkey)) {
    const isFree = connection.status === 'idle' || waiting.push.priority === 'now';
    if (isFree && Date.now() - waiting.pushedAt > pushAgainMs) {
      waiting.pushedAt = Date.now();
      say(connection, waiting.push);
    }
  }
}

function take(connection, frame) {
  switch (frame.type) {
    case 'send':
      return send(connection, frame);
    case 'client_ack': {
      const mailbox = mailboxes.get(connection.member.pubkey);
      const index = mailbox.findIndex(({ push }) => push.messageId === frame.brokerMessageId);
      return index >= 0 && mailbox.splice(index, 1);
    }
    case 'list_peers': {
      const peers = [connection, ...othersOf(connection)].map(asPeer);
      return say(connection, { type: 'peers_list', peers, _reqId: frame._reqId });
    }
    case 'set_summary':
    case 'set_status':
    case 'set_visible':
    case 'set_profile': {
      const { type, ...change } = frame;
      Object.assign(type === 'set_profile' ? connection.profile : connection, change);
      return pushWaiting(connection);
    }
  }
}

function asPeer({ member, hello, connectedAt, status, summary, visible, profile }) {
  const { displayName, sessionId, cwd, hostname, peerType, channel } = hello;
  const { pubkey } = member;
  return {
    ...{ pubkey, memberPubkey: pubkey, displayName, status, summary, groups: [], sessionId, connectedAt, cwd },
    ...{ hostname, peerType, channel, visible, profile },
  };
}

// ---- start

for (const name of names) {
  makeFolder(name);
}
for (const entry of readdirSync(folder, { withFileTypes: true })) {
  if (existsSync(join(folder, entry.name, 'config.json'))) {
    readMember(entry.name);
  }
}

const server = new WebSocketServer({
  host: '127.0.0.1',
  port: Number(port),
  path: '/ws',
  maxPayload: mostMessageBytes,
});
server.on('connection', (socket) => {
  let connection;
  socket.heardAt = Date.now();
  socket.on('pong', () => {
    socket.heardAt = Date.now();
  });
  socket.on('error', (error) => console.log(`# a connection failed: ${error.message}`));
  socket.on('message', (data) => {
    socket.heardAt = Date.now();
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return;
    }
    if (connection !== undefined) {
      take(connection, frame ?? {});
    } else if (frame?.type === 'hello') {
      connection = hello(socket, frame);
    } else {
      say({ socket }, { type: 'error', code: 'no_hello', message: 'must send hello first' });
    }
  });
  socket.on('close', () => {
    if (connections.delete(connection)) {
      announce('peer_left', connection);
      console.log(`# ${connection.member.name} is gone`);
    }
  });
});
server.on('listening', () => {
  console.log(`# listening at ${brokerUrl}`);
  for (const { name } of members.values()) {
    console.log(`# CLAUDEMESH_CONFIG_DIR=${join(folder, name)} is ${name}`);
  }
});
setInterval(() => {
  for (const socket of server.clients) {
    if (Date.now() - socket.heardAt > silenceMs) {
      socket.terminate();
    } else {
      socket.ping();
    }
  }
  // What was pushed and not acknowledged is pushed again.
  for (const connection of connections) {
    pushWaiting(connection);
  }
}, 30_000);
