// Installs a Node.js app with npm; an unchanged lock file reuses the node_modules of last time, because npm's own cache
// saves next to nothing: unpacking is what takes the time. Runs inside the sandbox.
"use strict";
const { createHash } = require("node:crypto");
const { spawnSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");

const RUNTIME = fs.realpathSync("/opt/towpath/runtimes/node");
const semver = require(`${RUNTIME}/lib/node_modules/npm/node_modules/semver`);
const [here, build, cache, config] = process.argv.slice(2);
const LIFECYCLE = ["preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare"];

function main() {
  const manifest = readManifest();
  const lock = lockFile();
  const node = nodeFor(manifest);
  const environment = {
    ...process.env,
    ...buildConfig(),
    PATH: `${node.bin}:${build}/node_modules/.bin:${process.env.PATH}`,
    npm_config_cache: `${cache}/npm`,
    npm_config_update_notifier: "false",
    npm_config_audit: "false",
    npm_config_fund: "false",
    npm_config_prefer_offline: "true",
    npm_package_config_node_gyp_nodedir: node.home,
  };
  const scripts = manifest.scripts ?? {};
  const script = ["heroku-postbuild", "build"].find((name) => scripts[name]);
  // Any script of the app may call what only its development needs, `prepare: husky` above all.
  const needsDevelopment = script !== undefined || LIFECYCLE.some((name) => scripts[name]);
  if (scripts["heroku-prebuild"]) npm(environment, "run", "heroku-prebuild");
  install(manifest, lock, node, needsDevelopment, environment);
  if (script) {
    step(`$ npm run ${script}`);
    npm({ ...environment, NODE_ENV: environment.NODE_ENV ?? "production" }, "run", script);
  }
  if (needsDevelopment && Object.keys(manifest.devDependencies ?? {}).length) {
    step("Pruning devDependencies");
    npm(environment, "prune", "--omit=dev", "--ignore-scripts");
  }
  const profile = `export PATH="${node.bin}:/app/node_modules/.bin:$PATH"\nexport NODE_ENV="\${NODE_ENV-production}"\n`;
  fs.mkdirSync(`${build}/.profile.d`, { recursive: true });
  fs.writeFileSync(`${build}/.profile.d/nodejs.sh`, profile);
  fs.writeFileSync(`${here}/export`, profile);
}

function readManifest() {
  try {
    const manifest = JSON.parse(fs.readFileSync(`${build}/package.json`, "utf8").replace(/^\uFEFF/, ""));
    if (manifest && typeof manifest === "object" && !Array.isArray(manifest)) return manifest;
  } catch (error) {
    refuse(`package.json cannot be read: ${error.message}.`);
  }
  return refuse("package.json is not a JSON object.");
}

function lockFile() {
  const found = ["npm-shrinkwrap.json", "package-lock.json"].find((name) => fs.existsSync(`${build}/${name}`));
  const other = ["yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb"].find((name) => fs.existsSync(`${build}/${name}`));
  if (!found && other) {
    refuse(`${other} cannot be installed from: Towpath installs with npm. Run \`npm install --package-lock-only\`, ` +
           `commit package-lock.json and remove ${other}.`);
  }
  return found;
}

// The server's own version where it fits; any other comes from npm's `node-linux-*` packages and goes into the slug.
function nodeFor(manifest) {
  const range = String(manifest.engines?.node ?? "").trim();
  const own = process.versions.node;
  if (!range || range === "latest" || semver.satisfies(own, range)) {
    step(`Using Node.js ${own}`);
    return { version: own, home: RUNTIME, bin: `${RUNTIME}/bin` };
  }
  if (!semver.validRange(range)) refuse(`engines.node in package.json says "${range}", which is not a version range; write one such as "24.x".`);
  const name = `node-linux-${process.arch}`;
  const kept = fs.existsSync(`${cache}/node`) ? fs.readdirSync(`${cache}/node`) : [];
  const version = semver.maxSatisfying(kept, range) ?? newest(name, range, own);
  const home = `${cache}/node/${version}`;
  if (!fs.existsSync(home)) {
    step(`Fetching Node.js ${version}`);
    fs.rmSync(`${cache}/node.new`, { recursive: true, force: true });
    fs.mkdirSync(`${cache}/node.new`, { recursive: true });
    run("npm", ["install", "--prefix", `${cache}/node.new`, "--no-save", "--ignore-scripts", "--no-audit", "--no-fund",
      "--cache", `${cache}/npm`, `${name}@${version}`], withRuntime(), `Node.js ${version} could not be fetched.`);
    fs.mkdirSync(`${cache}/node`, { recursive: true });
    fs.renameSync(`${cache}/node.new/node_modules/${name}`, home);
    fs.rmSync(`${cache}/node.new`, { recursive: true, force: true });
  }
  step(`Using Node.js ${version}`);
  fs.mkdirSync(`${build}/.heroku/node/bin`, { recursive: true });
  copy(`${home}/bin/node`, `${build}/.heroku/node/bin/node`);
  // npm itself is the server's: a package of Node.js holds none of use without its own node_modules.
  fs.symlinkSync(`${RUNTIME}/lib/node_modules/npm/bin/npm-cli.js`, `${build}/.heroku/node/bin/npm`);
  fs.symlinkSync(`${RUNTIME}/lib/node_modules/npm/bin/npx-cli.js`, `${build}/.heroku/node/bin/npx`);
  return { version, home, bin: "/app/.heroku/node/bin" };
}

function newest(name, range, own) {
  const answer = spawnSync("npm", ["view", name, "versions", "--json"], { env: withRuntime(), encoding: "utf8" });
  let told;
  try {
    told = JSON.parse(answer.stdout);
  } catch {
    told = {};
  }
  // What npm could not ask for it tells as an object in the place of the list.
  if (answer.status !== 0 || told?.error) {
    const why = told?.error?.summary || told?.error?.code || (answer.stderr ?? "").trim().split("\n").pop();
    refuse(`The versions of Node.js could not be listed: ${why}.`);
  }
  const versions = [told].flat().filter((version) => semver.valid(version));
  const found = semver.maxSatisfying(versions, range);
  if (found) return found;
  const majors = new Map(versions.sort(semver.compare).map((version) => [semver.major(version), version]));
  const available = [...new Set([...[...majors.values()].slice(-8), own])].join(", ");
  return refuse(`package.json asks for Node.js ${range}, which cannot be had; available among others: ${available}.`);
}

function install(manifest, lock, node, needsDevelopment, environment) {
  const omit = needsDevelopment ? [] : ["--omit=dev"];
  const modules = `${build}/node_modules`;
  fs.rmSync(modules, { recursive: true, force: true });
  if (!lock) {
    fs.closeSync(fs.openSync("/out/unlocked", "w"));
    step("Installing dependencies with npm install (there is no package-lock.json)");
    npm(environment, "install", "--no-package-lock", ...omit);
    return;
  }
  const maker = makerName(node, omit);
  const tree = reusable(manifest, lock) ? `${maker}-${treeName(lock)}` : undefined;
  const kept = tree && whole(tree);
  if (kept) {
    step(`Reusing dependencies, ${lock} has not changed`);
    unpack(kept);
    return;
  }
  step(`Installing dependencies from ${lock} with npm ci`);
  if (!tree || !grown(whole(maker), manifest, lock, omit, environment)) {
    fs.rmSync(modules, { recursive: true, force: true });
    run("npm", ["ci", ...omit], environment, `npm ci failed. If ${lock} does not fit package.json, run \`npm install ` +
      `--package-lock-only\` and commit ${lock}.`);
  }
  if (tree && fs.existsSync(modules)) keep(tree);
}

// A tree follows from the lock file alone unless the app's own scripts run at install, or it links to its own folders.
function reusable(manifest, lock) {
  if (manifest.workspaces || LIFECYCLE.some((name) => manifest.scripts?.[name])) return false;
  try {
    const packages = JSON.parse(fs.readFileSync(`${build}/${lock}`, "utf8")).packages;
    return packages !== undefined && Object.values(packages).every((entry) => !entry.link);
  } catch (error) {
    return refuse(`${lock} cannot be read: ${error.message}.`);
  }
}

function makerName(node, omit) {
  const digest = createHash("sha256").update(JSON.stringify([node.version, process.arch, process.env.STACK, omit]));
  for (const file of [__filename, `${build}/.npmrc`]) {
    if (fs.existsSync(file)) digest.update(`\0${path.basename(file)}\0`).update(fs.readFileSync(file));
  }
  return digest.digest("hex").slice(0, 16);
}

function treeName(lock) {
  const digest = createHash("sha256");
  for (const name of [lock, "package.json"]) {
    digest.update(`\0${name}\0`).update(fs.readFileSync(`${build}/${name}`));
  }
  return digest.digest("hex");
}

// The tree that was kept under a name that begins so; one that a crash of the machine cut short is none.
function whole(name) {
  const names = fs.existsSync(`${cache}/nodejs`) ? fs.readdirSync(`${cache}/nodejs`) : [];
  const found = names.find((each) => each.startsWith(`${name}-`) && each.endsWith(".tar"));
  if (!found) return undefined;
  return found.endsWith(`-${fs.statSync(`${cache}/nodejs/${found}`).size}.tar`) ? `${cache}/nodejs/${found}` : undefined;
}

// One file: to write, and to delete later, the thousands that it stands for takes a disk many times longer.
function keep(tree) {
  const made = `${cache}/nodejs.new`;
  fs.rmSync(made, { recursive: true, force: true });
  fs.mkdirSync(made, { recursive: true });
  tar("--create", "--file", `${made}/tree`, "--directory", build, "node_modules");
  fs.renameSync(`${made}/tree`, `${made}/${tree}-${fs.statSync(`${made}/tree`).size}.tar`);
  fs.rmSync(`${cache}/nodejs`, { recursive: true, force: true });
  fs.renameSync(made, `${cache}/nodejs`);
}

function unpack(kept) {
  tar("--extract", "--preserve-permissions", "--file", kept, "--directory", build);
}

function tar(...args) {
  run("tar", args, process.env, "The dependencies could not be stored or taken from the cache.");
}

// Where no package runs code when it is installed, a tree follows from its lock file alone, and an older one may become
// the new one package by package. Whatever is odd about it in the end is left to `npm ci`, from nothing.
function grown(older, manifest, lock, omit, environment) {
  const { packages } = JSON.parse(fs.readFileSync(`${build}/${lock}`, "utf8"));
  if (!older || !namesTheSame(manifest, packages[""] ?? {}) || runsCode(packages)) return false;
  unpack(older);
  const hidden = `${build}/node_modules/.package-lock.json`;
  if (!fs.existsSync(hidden) || runsCode(JSON.parse(fs.readFileSync(hidden, "utf8")).packages)) return false;
  const argv = ["install", "--no-save", "--ignore-scripts", "--loglevel=error", ...omit];
  const done = spawnSync("npm", argv, { cwd: build, env: environment, stdio: "ignore" });
  return done.status === 0 && isAsLocked(JSON.parse(fs.readFileSync(hidden, "utf8")).packages, packages, omit);
}

function namesTheSame(manifest, root) {
  const kinds = ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"];
  const text = (named) => JSON.stringify(Object.entries(named ?? {}).sort());
  return !manifest.overrides && kinds.every((kind) => text(manifest[kind]) === text(root[kind]));
}

function runsCode(packages) {
  return Object.values(packages).some((entry) => entry.hasInstallScript);
}

function isAsLocked(there, locked, omit) {
  const same = (path) => ["version", "resolved", "integrity"].every((name) => there[path][name] === locked[path]?.[name]);
  const needed = ([path, entry]) => path && !entry.optional && !entry.peer && !(omit.length && (entry.dev || entry.devOptional));
  return Object.keys(there).every(same) && Object.entries(locked).filter(needed).every(([path]) => there[path]);
}

function buildConfig() {
  if (!fs.existsSync(config)) return {};
  return Object.fromEntries(fs.readdirSync(config).map((name) => [name, fs.readFileSync(`${config}/${name}`, "utf8")]));
}

function withRuntime() {
  return { ...process.env, PATH: `${RUNTIME}/bin:${process.env.PATH}`, npm_config_cache: `${cache}/npm` };
}

function npm(environment, ...args) {
  const hint = args[0] === "run" ? " Builds see no config vars but those named by `towpath config:build NAME ...`." : "";
  run("npm", args, environment, `npm ${args.slice(0, 2).join(" ")} failed.${hint}`);
}

function run(command, args, env, failure) {
  const done = spawnSync(command, args, { cwd: build, env, stdio: ["ignore", "inherit", "inherit"] });
  if (done.status !== 0) refuse(failure);
}

function copy(from, to) {
  fs.mkdirSync(path.dirname(to), { recursive: true });
  run("cp", ["-a", from, to], process.env, `${to} could not be written.`);
}

function step(text) {
  fs.writeSync(1, `-----> ${text}\n`);
}

function refuse(text) {
  fs.writeSync(1, ` !     ${text}\n`);
  process.exit(1);
}

main();
