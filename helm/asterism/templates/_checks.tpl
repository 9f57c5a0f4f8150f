{{/* What no schema can say: settings that miss or contradict each other, in words. */}}
{{- define "asterism.check" -}}
{{- $authenticates := eq (include "asterism.authenticates" .) "true" }}
{{- if .Values.auth.jwks.secret }}
{{- range $key := list "issuer" "audience" }}
{{- if not (index $.Values.auth $key) }}{{ fail (printf "auth.%s is missing: tokens are checked against it" $key) }}{{ end }}
{{- end }}
{{- if not .Values.auth.peerToken.secret }}
{{- fail "auth.peerToken.secret is missing: the services call each other with this token" }}
{{- end }}
{{- end }}
{{- with .Values.tls }}
{{- if and .certificate.secret (not .ca.secret) }}
{{- fail "tls.ca.secret is missing: by it the services know each other's certificates" }}
{{- end }}
{{- if and (not .certificate.secret) (or .ca.secret .clientCa.secret .serverName) }}
{{- fail "tls.certificate.secret is missing: without it the API is plaintext, and the rest of tls means nothing" }}
{{- end }}
{{- if and .clientScopes.secret (not .clientCa.secret) }}
{{- fail "tls.clientCa.secret is missing: callers without a certificate have no name to hold scopes by" }}
{{- end }}
{{- if and .clientCa.secret (not .clientScopes.secret) (not $.Values.auth.jwks.secret) }}
{{- fail "tls.clientScopes.secret is missing: without it and without tokens nobody may do anything" }}
{{- end }}
{{- if and $.Values.embedded.enabled .certificate.secret (not .serverName) }}
{{- fail "tls.serverName is missing: in one Pod the services call each other by its address, not by a name" }}
{{- end }}
{{- end }}
{{- if and .Values.redis.ca.secret (not .Values.redis.secret) }}
{{- fail "redis.ca.secret has no effect without redis.secret" }}
{{- end }}
{{- range $name := .Values.restored }}
{{- if not (hasKey (fromYaml (include "asterism.components" $)) $name) }}
{{- fail (printf "restored: %s is not deployed by these values" $name) }}
{{- end }}
{{- end }}
{{- if .Values.embedded.enabled }}
{{- if .Values.databaseCa.secret }}{{ fail "databaseCa.secret has no effect in the embedded mode: its databases are files" }}{{ end }}
{{- if .Values.redis.secret }}{{ fail "redis.secret has no effect in the embedded mode: its cache is in the process" }}{{ end }}
{{- else }}
{{- if not $authenticates }}
{{- fail "auth.jwks.secret is missing: beyond loopback callers must be authenticated, by tokens or by tls.clientCa (or set embedded.enabled for a trial)" }}
{{- end }}
{{- range $name, $service := .Values.services }}
{{- if not $service.database.secret }}
{{- fail (printf "services.%s.database.secret is missing: name the Secret with the PostgreSQL URL" $name) }}
{{- end }}
{{- end }}
{{- if not (index .Values.services "customer-profile").encryptionKeys.secret }}
{{- fail "services.customer-profile.encryptionKeys.secret is missing: name the Secret with the keys that personal data is sealed under" }}
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
