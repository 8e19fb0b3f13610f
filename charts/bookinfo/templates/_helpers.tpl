{{/* Labels of every object except pods. Pods do not have them because a new chart version alone must not restart pods. */}}
{{- define "bookinfo.labels" -}}
app.kubernetes.io/part-of: bookinfo
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* These labels, overridden by the labels of a values block. Takes a dict of root and own. */}}
{{- define "bookinfo.labelsWithOverrides" -}}
{{- mergeOverwrite (include "bookinfo.labels" .root | fromYaml) (.own | default dict) | toYaml -}}
{{- end }}

{{/* The settings of a version, with defaults applied, as JSON. Takes a dict of root, service and version. */}}
{{- define "bookinfo.version" -}}
{{- $own := index .root.Values.services .service "versions" .version | default dict -}}
{{- mergeOverwrite (deepCopy .root.Values.versionDefaults) (deepCopy $own) | toJson -}}
{{- end }}

{{/* The image of a version. Takes a dict of root, service and version. */}}
{{- define "bookinfo.image" -}}
{{- $image := (include "bookinfo.version" . | fromJson).image -}}
{{- $repository := $image.repository | default (index .root.Values.services .service).image -}}
{{- with .root.Values.image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- $repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .root.Values.image.tag | default .root.Chart.AppVersion }}{{ end -}}
{{- end }}

{{/*
A scalar as text, with the digits of the values file. Helm parses numbers as floats and prints numbers from 1000000 as
1e+06, except in JSON.
*/}}
{{- define "bookinfo.scalar" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end }}

{{/* The names of environment variables in upper case, separated by spaces. The services ignore the case of names. */}}
{{- define "bookinfo.upperCaseNames" -}}
{{ keys (. | default dict) | join " " | upper }}
{{- end }}

{{/*
The environment variables of a version as JSON, NAME to text. In increasing precedence: those that the chart sets, those
of every service, those of the service, those of the version. Takes a dict of root, service and version.
*/}}
{{- define "bookinfo.env" -}}
{{- $values := .root.Values -}}
{{- $settings := include "bookinfo.version" . | fromJson -}}
{{- $env := dict "VERSION" .version "DRAIN_SECONDS" $values.shutdown.drainSeconds -}}
{{- with $values.otlp.endpoint -}}
{{- $_ := set $env "OTEL_EXPORTER_OTLP_ENDPOINT" . -}}
{{- end -}}
{{- $names := dict "abortPercent" "FAULT_ABORT_PERCENT" "abortStatus" "FAULT_ABORT_STATUS" "delayPercent" "FAULT_DELAY_PERCENT" "delayMilliseconds" "FAULT_DELAY_MS" "seed" "FAULT_SEED" -}}
{{- range $fault, $value := $settings.faults }}{{ $_ := set $env (index $names $fault) $value }}{{ end -}}
{{- $texts := dict -}}
{{- range $name, $value := mergeOverwrite $env $values.env ((index $values.services .service).env | default dict) ($settings.env | default dict) -}}
{{- $_ := set $texts $name (include "bookinfo.scalar" $value) -}}
{{- end -}}
{{- toJson $texts -}}
{{- end }}

{{/* The labels that add a pod to the mesh. Empty without a mesh. */}}
{{- define "bookinfo.meshLabels" -}}
{{- if eq .Values.mesh.mode "sidecar" -}}
sidecar.istio.io/inject: "true"
{{ include "bookinfo.revisionLabel" . }}
{{- else if eq .Values.mesh.mode "ambient" -}}
istio.io/dataplane-mode: ambient
{{- end }}
{{- end }}

{{/*
The annotations for sidecars that are ordinary containers: the application waits until its proxy has started, and the
proxy stops after its last connection has closed.
*/}}
{{- define "bookinfo.meshAnnotations" -}}
{{- if and (eq .Values.mesh.mode "sidecar") (not .Values.mesh.nativeSidecars) -}}
proxy.istio.io/config: |
  holdApplicationUntilProxyStarts: true
  proxyMetadata:
    EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true"
    MINIMUM_DRAIN_DURATION: {{ printf "%vs" (addf .Values.shutdown.preStopSeconds .Values.shutdown.drainSeconds) }}
{{- end }}
{{- end }}

{{/*
The chart's own labels and annotations of a pod. Those in pod.labels and pod.annotations override them. Both templates
take a dict of root, service and version.
*/}}
{{- define "bookinfo.podLabels" -}}
app: {{ .service }}
version: {{ .version | quote }}
{{ include "bookinfo.meshLabels" .root }}
{{- end }}

{{- define "bookinfo.podAnnotations" -}}
prometheus.io/scrape: "true"
prometheus.io/port: "9080"
prometheus.io/path: /metrics
{{- if and (eq .service "productpage") .root.Values.session.secret }}
bookinfo/session: {{ .root.Values.session.secret | sha256sum | trunc 8 | quote }}
{{- end }}
{{ include "bookinfo.meshAnnotations" .root }}
{{- end }}

{{/* The security contexts of a pod and of a container that the restricted Pod Security Standard requires. */}}
{{- define "bookinfo.podSecurityContext" -}}
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "bookinfo.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "bookinfo.sessionSecret" -}}
{{ .Values.session.existingSecret | default "bookinfo-session" }}
{{- end }}

{{/*
Host names as JSON {items: [...]}. The list is empty if it contains "*", because Ingress and HTTPRoute accept no
asterisk for all hosts.
*/}}
{{- define "bookinfo.hosts" -}}
{{- dict "items" (ternary list . (has "*" .)) | toJson -}}
{{- end }}

{{/* The label that assigns an object to an Istio revision. Empty for the default revision. */}}
{{- define "bookinfo.revisionLabel" -}}
{{- with .Values.mesh.revision -}}
istio.io/rev: {{ . | quote }}
{{- end }}
{{- end }}

{{/* The values of VERSION that each service supports, as JSON. productpage supports any. */}}
{{- define "bookinfo.knownVersions" -}}
{{- dict "details" (list "v1" "v2") "reviews" (list "v1" "v2" "v3") "ratings" (list "v1" "v-faulty" "v-delayed" "v-unavailable" "v-unhealthy") | toJson -}}
{{- end }}

{{/* The Service of the Gateway API gateway, as NAME or NAME.NAMESPACE. */}}
{{- define "bookinfo.gatewayService" -}}
{{ .Values.gatewayAPI.service | default "bookinfo-gateway-istio" }}
{{- end }}

{{/*
The objects of a file under files/, as JSON {items: [...]}. Takes a dict of root and path. These files are symbolic
links into the repository. Helm reads a broken link as an empty file, which must not result in an empty manifest.
*/}}
{{- define "bookinfo.objectsOfFile" -}}
{{- $text := .root.Files.Get .path -}}
{{- $items := list -}}
{{- range regexSplit "(?m)^---[ \t]*$" $text -1 -}}
{{- $item := fromYaml . -}}
{{- if $item.Error }}{{ fail (printf "%s: invalid YAML: %s" $.path $item.Error) }}{{ end -}}
{{- if $item.kind }}{{ $items = append $items $item }}{{ end -}}
{{- end -}}
{{- if not $items -}}
{{- fail (printf "%s is missing or empty in this chart: check out symbolic links (git config core.symlinks true), or use the packaged chart" .path) -}}
{{- end -}}
{{- dict "items" $items | toJson -}}
{{- end }}

{{/*
The edges of the service graph as JSON {items: [{policy, service, caller}]}, from the files allow-A-to-B.yaml of
istio/security. The edge without a caller is the one from outside.
*/}}
{{- define "bookinfo.edges" -}}
{{- $edges := list -}}
{{- range $path, $_ := .Files.Glob "files/istio/security/allow-*-to-*.yaml" -}}
{{- range (include "bookinfo.objectsOfFile" (dict "root" $ "path" $path) | fromJson).items -}}
{{- $service := .spec.selector.matchLabels.app -}}
{{- $caller := "" -}}
{{- with (index .spec.rules 0).from }}{{ $caller = (index (index . 0).source.principals 0) | splitList "/" | last | trimPrefix "bookinfo-" }}{{ end -}}
{{- if and (hasKey $.Values.services $service) (or (not $caller) (hasKey $.Values.services $caller)) -}}
{{- $edges = append $edges (dict "policy" . "service" $service "caller" $caller) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not $edges -}}
{{- fail "files/istio/security contains no allow-*-to-*.yaml: check out symbolic links (git config core.symlinks true), or use the packaged chart" -}}
{{- end -}}
{{- dict "items" $edges | toJson -}}
{{- end }}

{{/* The identity of a ServiceAccount in the release's namespace. Takes a dict of root and account. */}}
{{- define "bookinfo.principal" -}}
{{ .root.Values.mesh.trustDomain }}/ns/{{ .root.Release.Namespace }}/sa/{{ .account }}
{{- end }}

{{/* The identities of the gateways and ingress controllers that are in the mesh, as JSON {items: [...]}. */}}
{{- define "bookinfo.gatewayPrincipals" -}}
{{- $items := list -}}
{{- with .Values.istioGateway }}{{ if .enabled }}
{{- $items = append $items (printf "%s/ns/%s/sa/%s" $.Values.mesh.trustDomain .namespace .serviceAccount) -}}
{{- end }}{{ end -}}
{{- with .Values.gatewayAPI }}{{ if .enabled }}
{{- $items = append $items (include "bookinfo.principal" (dict "root" $ "account" (.serviceAccount | default "bookinfo-gateway-istio"))) -}}
{{- end }}{{ end -}}
{{- with .Values.ingress }}{{ if and .enabled .serviceAccount }}
{{- $items = append $items (printf "%s/ns/%s/sa/%s" $.Values.mesh.trustDomain .namespace .serviceAccount) -}}
{{- end }}{{ end -}}
{{- dict "items" $items | toJson -}}
{{- end }}

{{/*
The weights of a service's versions as JSON {items: [{version, weight}]}. The list is empty if no version has a weight,
or if canary.managed is true. Takes a dict of root and service.
*/}}
{{- define "bookinfo.weights" -}}
{{- $items := list -}}
{{- $total := 0 -}}
{{- if not .root.Values.canary.managed -}}
{{- range $version, $_ := (index .root.Values.services .service).versions -}}
{{- $settings := include "bookinfo.version" (dict "root" $.root "service" $.service "version" $version) | fromJson -}}
{{- if ne $settings.weight nil -}}
{{- $items = append $items (dict "version" $version "weight" (int $settings.weight)) -}}
{{- $total = add $total (int $settings.weight) -}}
{{- end -}}
{{- end -}}
{{- if and $items (eq (int $total) 0) }}{{ fail (printf "services.%s.versions: every weight is 0, so no version would receive requests; set at least one weight above 0" .service) }}{{ end -}}
{{- end -}}
{{- dict "items" $items | toJson -}}
{{- end }}

{{/* The paths of productpage that a gateway serves, from istio/gateway, as JSON {items: [{exact: p} or {prefix: p}]}. */}}
{{- define "bookinfo.gatewayPaths" -}}
{{- $items := list -}}
{{- range (include "bookinfo.objectsOfFile" (dict "root" . "path" "files/istio/gateway/bookinfo-gateway.yaml") | fromJson).items -}}
{{- if eq .kind "VirtualService" -}}
{{- range .spec.http }}{{ range .match }}{{ $items = append $items .uri }}{{ end }}{{ end -}}
{{- end -}}
{{- end -}}
{{- dict "items" $items | toJson -}}
{{- end }}

{{/* An object with the namespace and the labels of the release, as YAML. Takes a dict of root and object. */}}
{{- define "bookinfo.object" -}}
{{- $labels := include "bookinfo.labels" .root | fromYaml -}}
{{- $metadata := mergeOverwrite (dict "namespace" .root.Release.Namespace) (dict "labels" $labels) .object.metadata -}}
{{- toYaml (merge (dict "metadata" $metadata) .object) }}
{{- end }}
