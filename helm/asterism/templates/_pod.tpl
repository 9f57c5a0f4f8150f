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

{{/* Fields of a container: image, rights, variables. (dict "root" $ "name" … "component" … "variables" …) */}}
{{- define "asterism.container" -}}
image: {{ include "asterism.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
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
{{- if include "asterism.secrets" . }}
# Not a subPath: those do not follow when a Secret changes.
- name: secrets
  mountPath: /etc/asterism
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
{{- with include "asterism.secrets" . }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- . | trim | nindent 6 }}
{{- end }}
{{- end }}

{{/* Sources of the projected volume with the secret files; empty when the component has none. */}}
{{- define "asterism.secrets" -}}
{{- with .root.Values.auth }}
{{- if .jwks.secret }}
{{ include "asterism.secret" (dict "from" .jwks "path" "jwks.json") }}
{{ include "asterism.secret" (dict "from" .peerToken "path" "peer-token") }}
{{- end }}
{{- end }}
{{- with .component.database }}
{{ include "asterism.secret" (dict "from" . "path" "database-url") }}
{{- end }}
{{- with .component.signingKey }}
{{- if .secret }}
{{ include "asterism.secret" (dict "from" . "path" "signing-key.pem") }}
{{- end }}
{{- end }}
{{- end }}

{{- define "asterism.secret" -}}
- secret:
    name: {{ .from.secret }}
    items:
      - key: {{ .from.key }}
        path: {{ .path }}
{{- end }}
