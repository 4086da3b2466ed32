/** systemd.unit(5), systemd.service(5), systemd.exec(5), as far as version 219 (2015) knows them. Pure. */
export function systemdUnit({
  folder,
  command,
  user,
}: {
  readonly folder: string
  readonly command: readonly string[]
  readonly user: string
}): string {
  return `[Unit]
Description=Hutong edge: receives from the hospital's systems and forwards to the province
Documentation=file:${percentEncoded(folder)}/README.txt
Wants=network-online.target
After=network-online.target

[Service]
Type=simple
User=${literal(user)}
WorkingDirectory=${literal(folder)}
ExecStart=${command.map(quoted).join(' ')}
Restart=always
RestartSec=5
TimeoutStopSec=90
KillMode=mixed
LimitNOFILE=65536
UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
ProtectSystem=full
ReadWritePaths=${quotedPath(folder)}
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
LockPersonality=yes

[Install]
WantedBy=multi-user.target
`
}

/** `%` begins a specifier. */
const literal = (text: string): string => text.replaceAll('%', '%%')

/** A word of ExecStart: C-style escapes, `$` begins a variable. */
const quoted = (word: string): string => `"${escaped(word).replaceAll('$', '$$$$')}"`

/** A path in a list of paths. */
const quotedPath = (path: string): string => `"${escaped(path)}"`

const escaped = (text: string): string => literal(text).replaceAll('\\', '\\\\').replaceAll('"', '\\"')

const percentEncoded = (path: string): string => literal(path.split('/').map(encodeURIComponent).join('/'))
