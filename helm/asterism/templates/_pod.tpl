{{/* Parts that the Pods of services and of migrations share. */}}

{{/* Fields of a Pod's spec that make it "restricted" and pull its image: the argument is $. */}}
{{- define "asterism.pod" -}}
serviceAccountName: {{ include "asterism.fullname" . }}
automountServiceAccountToken: false
# A Service called asterism-… would appear as variables ASTERISM_…, and the programs refuse those that they do not know.
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- with .Values.runAsUser }}
  runAsUser: {{ int64 . }}
  runAsGroup: {{ int64 . }}
  fsGroup: {{ int64 . }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{/* Fields of every container: image and rights. The argument is $. */}}
{{- define "asterism.program" -}}
image: {{ include "asterism.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* Fields of a container: image, rights, variables. (dict "root" $ "name" … "component" … "variables" …) */}}
{{- define "asterism.container" -}}
{{ include "asterism.program" .root }}
envFrom:
  - configMapRef:
      name: {{ include "asterism.fullname" .root }}-{{ .name }}
{{- if or .component.redis .variables }}
env:
  {{- if .component.redis }}
  - name: ASTERISM_REDIS_URL
    valueFrom:
      secretKeyRef:
        name: {{ .root.Values.redis.secret }}
        key: {{ .root.Values.redis.key }}
  {{- end }}
  {{- range $variable, $value := .variables }}
  - name: {{ $variable }}
    value: {{ $value | quote }}
  {{- end }}
{{- end }}
volumeMounts:
  {{- include "asterism.mounts" . | trim | nindent 2 }}
{{- end }}

{{- define "asterism.mounts" -}}
{{- if .component.embedded }}
- name: data
  mountPath: /data
# SQLite sorts what is too large for its memory here.
- name: temporary
  mountPath: /tmp
{{- end }}
{{- range $name, $_ := fromYaml (include "asterism.secrets" .) }}
- name: {{ $name }}
  mountPath: /etc/asterism/{{ $name }}
  readOnly: true
{{- end }}
{{- end }}

{{- define "asterism.volumes" -}}
{{- if .component.embedded }}
- name: data
  persistentVolumeClaim:
    claimName: {{ include "asterism.fullname" .root }}-{{ .name }}
- name: temporary
  emptyDir: {}
{{- end }}
{{- range $name, $from := fromYaml (include "asterism.secrets" .) }}
- name: {{ $name }}
  secret:
    secretName: {{ $from.secret }}
    # Nobody else is in the Pod, and whoever it runs as must be able to read it.
    defaultMode: 0444
    items:
      {{- range $path, $key := $from.items | default (dict "value" $from.key) }}
      - key: {{ $key }}
        path: {{ $path }}
      {{- end }}
{{- end }}
{{- end }}

{{/*
The Secrets that a component reads from files, as YAML: each is /etc/asterism/NAME/value, or has several items. A folder
for each, since files that are mounted by themselves do not follow when a Secret changes; a certificate and its key are
in one, so that they change together.
*/}}
{{- define "asterism.secrets" -}}
{{- with .root.Values.auth }}
{{- if .jwks.secret }}
jwks: {{ toJson .jwks }}
peer-token: {{ toJson .peerToken }}
{{- end }}
{{- end }}
{{- with .root.Values.tls }}
{{- with .certificate }}
{{- if .secret }}
tls: {{ toJson (dict "secret" .secret "items" (dict "certificate" .certificateKey "key" .privateKey)) }}
{{- end }}
{{- end }}
{{- range $name, $from := dict "peer-ca" .ca "client-ca" .clientCa "client-scopes" .clientScopes }}
{{- if $from.secret }}
{{ $name }}: {{ toJson $from }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .component.redis .root.Values.redis.ca.secret }}
redis-ca: {{ toJson .root.Values.redis.ca }}
{{- end }}
{{- if and .component.database .root.Values.databaseCa.secret }}
database-ca: {{ toJson .root.Values.databaseCa }}
{{- end }}
{{- with .component.database }}
database-url: {{ toJson . }}
{{- end }}
{{- with .component.encryptionKeys }}
{{- if .secret }}
encryption-keys: {{ toJson . }}
{{- end }}
{{- end }}
{{- with .component.signingKey }}
{{- if .secret }}
signing-key: {{ toJson . }}
{{- end }}
{{- end }}
{{- end }}
