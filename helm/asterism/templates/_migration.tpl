{{/*
Spec of a Job that works on a service's database while nothing is served: (dict "root" $ "name" … "component" …
"does" (list "migrate")).
*/}}
{{- define "asterism.migration" -}}
{{- $variables := dict "ASTERISM_STATEMENT_TIMEOUT" .root.Values.migrations.statementTimeout -}}
# The database may come up after us.
backoffLimit: 10
ttlSecondsAfterFinished: {{ int64 .root.Values.migrations.keptSeconds }}
template:
  metadata:
    labels:
      # Not the service's own label: its Services must not select this Pod.
      {{- include "asterism.selector" (dict "root" .root "component" (printf "%s-migrate" .name)) | nindent 6 }}
    annotations:
      checksum/config: {{ include "asterism.settings" . | sha256sum }}
  spec:
    {{- include "asterism.pod" .root | nindent 4 }}
    restartPolicy: Never
    containers:
      - name: {{ first .does }}
        command: [{{ .component.command }}]
        args: {{ toJson .does }}
        {{- include "asterism.container" (merge (dict "variables" $variables) .) | nindent 8 }}
        resources:
          {{- toYaml .component.resources | nindent 10 }}
    volumes:
      {{- include "asterism.volumes" . | trim | nindent 6 }}
    {{- with .component }}
    {{- with .nodeSelector }}
    nodeSelector:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .tolerations }}
    tolerations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- end }}
{{- end }}
