{{/*
What is deployed, as YAML: a map from component to everything the other templates ask about it.
Either the four services, or in the embedded mode the suite.
*/}}
{{- define "asterism.components" -}}
{{- if .Values.embedded.enabled }}
suite:
  command: asterism
  args: [serve]
  api: {{ include "asterism.authenticates" . }}
  embedded: true
  {{- $once := dict "autoscaling" (dict "enabled" false) "settings" (merge (dict) .Values.embedded.settings .Values.settings) }}
  {{- toYaml (mustMergeOverwrite (deepCopy .Values.defaults) .Values.embedded $once) | nindent 2 }}
{{- else }}
{{- range $name, $service := .Values.services }}
{{ $name }}:
  command: {{ $name }}
  args: []
  api: true
  embedded: false
  redis: {{ and (eq $name "loyalty-points") (ne $.Values.redis.secret "") }}
  {{- $settings := dict "settings" (merge (dict) $service.settings $.Values.settings) }}
  {{- toYaml (mustMergeOverwrite (deepCopy $.Values.defaults) $service $settings) | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* "true" or "false": whether callers have to prove who they are. */}}
{{- define "asterism.authenticates" -}}
{{ or (ne .Values.auth.jwks.secret "") (ne .Values.tls.clientCa.secret "") }}
{{- end }}

{{/* Seconds between the order to end and the kill: all that may take time, and five for closing connections. */}}
{{- define "asterism.grace" -}}
{{- with .Values.drain }}{{ add .preStopSeconds .delaySeconds .timeoutSeconds 5 }}{{ end -}}
{{- end }}

{{/* Ports are the program's own defaults. */}}
{{- define "asterism.port.grpc" -}}50051{{- end }}
{{- define "asterism.port.ops" -}}9090{{- end }}
