{{/* What no schema can say: settings that miss or contradict each other, in words. */}}
{{- define "asterism.check" -}}
{{- $authenticates := eq (include "asterism.authenticates" .) "true" }}
{{- if $authenticates }}
{{- range $key := list "issuer" "audience" }}
{{- if not (index $.Values.auth $key) }}{{ fail (printf "auth.%s is missing: tokens are checked against it" $key) }}{{ end }}
{{- end }}
{{- if not .Values.auth.peerToken.secret }}
{{- fail "auth.peerToken.secret is missing: the services call each other with this token" }}
{{- end }}
{{- end }}
{{- if .Values.embedded.enabled }}
{{- if .Values.redis.secret }}{{ fail "redis.secret has no effect in the embedded mode: its cache is in the process" }}{{ end }}
{{- else }}
{{- if not $authenticates }}
{{- fail "auth.jwks.secret is missing: beyond loopback callers must be authenticated (or set embedded.enabled for a trial)" }}
{{- end }}
{{- range $name, $service := .Values.services }}
{{- if not $service.database.secret }}
{{- fail (printf "services.%s.database.secret is missing: name the Secret with the PostgreSQL URL" $name) }}
{{- end }}
{{- end }}
{{- range $name, $component := fromYaml (include "asterism.components" $) }}
{{- with $component.autoscaling }}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) }}
{{- fail (printf "autoscaling of %s: minReplicas is more than maxReplicas" $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
