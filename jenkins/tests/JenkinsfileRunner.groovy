/*
 * Executes a declarative Jenkinsfile on this computer: `groovy JenkinsfileRunner.groovy`.
 *
 * Each line on standard input is the path of a request. The runner executes it, writes its log and its events, and then
 * prints one line, the result. One JVM executes all requests of a test module.
 *
 * A request is a JSON object:
 *   jenkinsfile, workspace  paths
 *   record        the directory for events.jsonl, log.txt and published/ (what Jenkins would store)
 *   params, env   the parameters of the build; its environment variables, in addition to those of this process
 *   credentials   {id: {username, password}}
 *   startAt       the stage to start at, as Jenkins' "Restart from Stage" does; null: the first
 *   abortFile     the build is aborted as soon as this file exists
 *   stageTimeouts {stage: seconds}, instead of the stage's own timeout
 *   graceSeconds  see Options.GRACE_SECONDS
 *
 * This is not Jenkins. There is no CPS transformation, no sandbox, no agent, no queue, no lock and no plugin, and the
 * workspace is not checked out but given. The runner implements the directives and steps that the Jenkinsfile uses, each
 * as Jenkins documents it. Any other directive, step or argument makes the build INVALID, so that a typo cannot pass.
 *
 * Why not JenkinsPipelineUnit: docs/decisions/jenkinsfile-runner.md.
 */
import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import groovy.transform.CompileStatic
import java.nio.file.FileSystems
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.PathMatcher
import java.util.concurrent.TimeUnit
import javax.xml.parsers.DocumentBuilderFactory
import org.codehaus.groovy.control.CompilerConfiguration
import org.w3c.dom.Element

/** The Jenkinsfile contains something that this runner, or Jenkins, does not support. */
class InvalidPipeline extends RuntimeException {
    InvalidPipeline(String message) { super(message) }
}

/** A step failed, so the stage fails. */
class StepFailed extends RuntimeException {
    StepFailed(String message) { super(message) }
}

/** A step was stopped by an abort, by a timeout, or because a parallel branch failed. */
class Interrupted extends RuntimeException {
    static final String FAIL_FAST = 'a parallel branch failed'

    Interrupted(String reason) { super(reason) }
}

/** The state that all stages of one build share. */
class Build {
    static final List<String> RESULTS = ['SUCCESS', 'UNSTABLE', 'FAILURE', 'ABORTED']
    final Map request
    final File workspace
    final File record
    Map params = [:]
    volatile String result = 'SUCCESS'
    /** Whether the stage `startAt` has been reached. */
    boolean started

    Build(Map request) {
        this.request = request
        workspace = new File(request.workspace as String)
        record = new File(request.record as String)
        started = !request.startAt
    }

    synchronized void event(Map event) { new File(record, 'events.jsonl') << JsonOutput.toJson(event) + '\n' }

    synchronized void log(String stage, String line) { new File(record, 'log.txt') << "[${stage}] ${mask(line)}\n" }

    /** Replace every password, as Jenkins does in its log. */
    String mask(String line) {
        request.credentials.values()*.password.findAll().inject(line) { text, password -> text.replace(password, '****') }
    }

    boolean isAborted() { request.abortFile && new File(request.abortFile as String).exists() }

    /** Set the result unless the current one is worse. */
    synchronized void worsenResult(String other) {
        if (RESULTS.indexOf(other) > RESULTS.indexOf(result)) {
            result = other
        }
    }
}

/** Where a step runs: the stage, its environment variables and its deadline. */
class Context {
    final Build build
    final String stage
    final Map env
    /** In the nanoseconds of System.nanoTime(). */
    final long deadline
    /** Whether a parallel branch has failed. */
    final Closure<Boolean> branchFailed

    Context(Build build, String stage, Map env, long deadline, Closure<Boolean> branchFailed) {
        this.build = build
        this.stage = stage
        this.env = env
        this.deadline = deadline
        this.branchFailed = branchFailed
    }

    Context with(Map changes) {
        new Context(build, changes.stage ?: stage, env + (changes.env ?: [:]),
            Math.min(deadline, changes.deadline ?: deadline), changes.branchFailed ?: branchFailed)
    }

    /** Why the current step must stop; null if it may continue. An abort does not stop `post`. */
    String getInterruption() {
        build.aborted && !stage.startsWith('post of ') ? 'the build was aborted' :
            branchFailed.call() ? Interrupted.FAIL_FAST :
            System.nanoTime() > deadline ? 'the timeout expired' : null
    }
}

/** Calls a closure of the Jenkinsfile so that only `delegate` resolves its names. */
class Body {
    static Object run(Closure body, Object delegate, Object... arguments) {
        Closure copy = (Closure) body.clone()
        copy.delegate = delegate
        copy.resolveStrategy = Closure.DELEGATE_ONLY
        copy.call(*arguments)
    }
}

/** The names that an expression may use: env, params, currentBuild, and each environment variable. */
abstract class Expressions {
    abstract Context getContext()

    /** What kind of directive this is, for messages: "step", "option". */
    abstract String getKind()

    Map getParams() { context.build.params.asImmutable() }

    Map getEnv() { context.env.asImmutable() }

    Map getCurrentBuild() { [currentResult: context.build.result] }

    Object propertyMissing(String name) {
        if (!context.env.containsKey(name)) {
            throw new InvalidPipeline("${context.stage}: unknown name ${name}")
        }
        context.env[name]
    }

    Object methodMissing(String name, Object arguments) {
        boolean known = metaClass.respondsTo(this, name)
        throw new InvalidPipeline("${context.stage}: ${known ? 'unsupported arguments of' : 'unknown'} ${kind} ${name}")
    }

    protected void allow(String name, Map arguments, List<String> known) {
        Set unknown = arguments.keySet() - known
        if (unknown) {
            throw new InvalidPipeline("${context.stage}: unknown argument ${unknown.join(', ')} of ${kind} ${name}")
        }
    }
}

/** The files of a workspace that match a pattern, and their copies in the record. */
@CompileStatic
class WorkspaceFiles {
    final Path workspace
    final File record

    WorkspaceFiles(File workspace, File record) {
        this.workspace = workspace.toPath()
        this.record = record
    }

    List<File> matching(String pattern) {
        PathMatcher matcher = FileSystems.default.getPathMatcher("glob:" + pattern)
        Path start = workspace.resolve(pattern.replaceFirst('/?[^/]*[*].*', ''))
        List<File> found = []
        if (Files.exists(start)) {
            // Files.walk does not follow links, which a workspace has to files outside it.
            for (Object entry : Files.walk(start).toArray()) {
                Path path = (Path) entry
                if (Files.isRegularFile(path) && matcher.matches(workspace.relativize(path))) {
                    found.add(path.toFile())
                }
            }
        }
        found.sort()
    }

    void store(List<File> files, String directory) {
        for (File file : files) {
            File target = new File(record, directory + '/' + workspace.relativize(file.toPath()))
            target.parentFile.mkdirs()
            target.bytes = file.bytes
        }
    }
}

/** One `sh` step: the script runs as Jenkins runs it, and stops if the context is interrupted. */
@CompileStatic
class ShellScript {
    final File workspace
    final Map<String, String> env
    final Closure<?> log
    String interruption
    int exitCode

    ShellScript(File workspace, Map<String, String> env, Closure<?> log) {
        this.workspace = workspace
        this.env = env
        this.log = log
    }

    void run(String script, Closure<String> interruptionNow) {
        File file = File.createTempFile('step', '.sh')
        file.text = script
        ProcessBuilder builder = new ProcessBuilder('sh', '-xe', file.path)
        builder.directory(workspace).redirectErrorStream(true).redirectInput(new File('/dev/null'))
        builder.environment().clear()
        builder.environment().putAll(env)
        Process process = builder.start()
        Thread reader = Thread.start { process.inputStream.eachLine { String line -> log.call(line) } }
        while (!process.waitFor(20, TimeUnit.MILLISECONDS)) {
            if (interruption == null && (interruption = interruptionNow.call()) != null) {
                // Jenkins sends SIGTERM to all processes of the step. Process.destroy() would also close the pipe,
                // and with it lose what the processes print while they terminate.
                for (Object child : process.toHandle().descendants().toArray()) {
                    ((ProcessHandle) child).destroy()
                }
                process.toHandle().destroy()
            }
        }
        reader.join()
        file.delete()
        exitCode = process.exitValue()
    }
}

/** The steps of a stage. */
class Steps extends Expressions {
    final Context context
    final String kind = 'step'
    private final WorkspaceFiles files

    Steps(Context context) {
        this.context = context
        files = new WorkspaceFiles(context.build.workspace, context.build.record)
    }

    String getScm() { 'scm' }

    void sh(String script) {
        stopIfInterrupted()
        Map env = context.env.findAll { it.value != null }.collectEntries { [it.key, it.value.toString()] }
        ShellScript shell = new ShellScript(context.build.workspace, env, { context.build.log(context.stage, it) })
        long start = System.nanoTime()
        shell.run(script, { context.interruption })
        context.build.event(event: 'sh', stage: context.stage, script: script, exitCode: shell.exitCode,
            interruption: shell.interruption, seconds: (System.nanoTime() - start) / 1e9)
        if (shell.interruption) {
            throw new Interrupted(shell.interruption)
        }
        if (shell.exitCode != 0) {
            throw new StepFailed("script returned exit code ${shell.exitCode}: ${script}")
        }
    }

    void checkout(Object source) {
        if (source != scm) {
            throw new InvalidPipeline("${context.stage}: unsupported arguments of step checkout")
        }
        if (!new File(context.build.workspace, '.git').exists()) {
            throw new StepFailed("${context.build.workspace} is not a Git checkout")
        }
    }

    Map usernamePassword(Map arguments) {
        allow('usernamePassword', arguments, ['credentialsId', 'usernameVariable', 'passwordVariable'])
        Map found = context.build.request.credentials[arguments.credentialsId]
        if (found == null) {
            throw new StepFailed("credentials not found: ${arguments.credentialsId}")
        }
        [(arguments.usernameVariable): found.username, (arguments.passwordVariable): found.password]
    }

    void withCredentials(List<Map> bindings, Closure body) {
        context.build.event(event: 'withCredentials', stage: context.stage, variables: bindings*.keySet().flatten())
        Body.run(body, new Steps(context.with(env: bindings.inject([:]) { all, one -> all + one })))
    }

    void timeout(Map arguments, Closure body) {
        Body.run(body, new Steps(context.with(deadline: Options.deadline(arguments))))
    }

    void junit(Map arguments) {
        allow('junit', arguments, ['testResults', 'allowEmptyResults'])
        List<File> reports = files.matching(arguments.testResults)
        if (!reports && !arguments.allowEmptyResults) {
            throw new StepFailed("no test report matches ${arguments.testResults}")
        }
        List<Element> suites = reports.collectMany { File report ->
            def nodes = parse(report).getElementsByTagName('testsuite')
            (0..<nodes.length).collect { nodes.item(it) }
        }
        Closure sum = { String name -> suites.sum(0) { (it.getAttribute(name) ?: '0') as int } }
        Map counts = [tests: sum('tests'), failures: sum('failures') + sum('errors')]
        files.store(reports, 'published/junit')
        context.build.event([event: 'junit', stage: context.stage] + counts)
        if (counts.failures) {
            context.build.worsenResult('UNSTABLE')
        }
    }

    void recordCoverage(Map arguments) {
        allow('recordCoverage', arguments, ['tools'])
        arguments.tools.each { Map tool ->
            if (tool.parser != 'COBERTURA') {
                throw new InvalidPipeline("${context.stage}: unknown parser ${tool.parser} of step recordCoverage")
            }
            List<File> reports = files.matching(tool.pattern)
            reports.each { parse(it) }
            files.store(reports, 'published/coverage')
        }
    }

    void archiveArtifacts(Map arguments) {
        allow('archiveArtifacts', arguments, ['artifacts', 'allowEmptyArchive'])
        List<File> artifacts = arguments.artifacts.split(',').collectMany { files.matching(it.trim()) }
        if (!artifacts && !arguments.allowEmptyArchive) {
            throw new StepFailed("no artifact matches ${arguments.artifacts}")
        }
        files.store(artifacts, 'published/archive')
    }

    void cleanWs() {
        // `find` does not follow the links that lead out of the workspace.
        Process process = ['find', context.build.workspace.path, '-mindepth', '1', '-delete'].execute()
        if (process.waitFor() != 0) {
            throw new StepFailed("cannot delete the workspace: ${process.errorStream.text}")
        }
    }

    private void stopIfInterrupted() {
        String reason = context.interruption
        if (reason) {
            throw new Interrupted(reason)
        }
    }

    private static Element parse(File report) {
        DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance()
        factory.setFeature('http://apache.org/xml/features/nonvalidating/load-external-dtd', false)
        factory.newDocumentBuilder().parse(report).documentElement
    }
}

/** The conditions of a `when` block. */
class WhenConditions extends Expressions {
    final Context context
    final String kind = 'condition'
    final List<Boolean> values = []

    WhenConditions(Context context) { this.context = context }

    static List<Boolean> evaluate(Closure body, Context context) {
        WhenConditions conditions = new WhenConditions(context)
        Body.run(body, conditions)
        if (!conditions.values) {
            throw new InvalidPipeline("${context.stage}: a when block needs a condition")
        }
        conditions.values
    }

    /** Has no effect here: no option of a stage takes part in the decision. */
    void beforeOptions(boolean first) { context.build.event(event: 'beforeOptions', stage: context.stage, first: first) }

    void branch(String name) { values << (context.env.BRANCH_NAME == name) }

    void buildingTag() { values << (context.env.TAG_NAME as boolean) }

    void expression(Closure body) { values << (Body.run(body, this) as boolean) }

    void anyOf(Closure body) { values << evaluate(body, context).any() }

    void allOf(Closure body) { values << evaluate(body, context).every() }
}

/** The options of a pipeline or a stage. Those of Jenkins' queue and log are recorded and have no effect. */
class Options extends Expressions {
    /** Jenkins kills what still runs inside a timeout this long after it expired, `post` included. */
    static final int GRACE_SECONDS = 60

    final Context context
    final String kind = 'option'
    final List<String> names = []
    long deadline = Long.MAX_VALUE
    boolean failFast

    Options(Context context) { this.context = context }

    static long deadline(Map arguments) {
        System.nanoTime() + TimeUnit.valueOf(arguments.unit as String).toNanos(arguments.time as long)
    }

    void timeout(Map arguments) {
        names << 'timeout'
        Object seconds = context.build.request.stageTimeouts[context.stage]
        deadline = deadline(seconds ? [time: seconds, unit: 'SECONDS'] : arguments)
    }

    void lock(String resource) { names << "lock ${resource}".toString() }

    void timestamps() { names << 'timestamps' }

    void disableConcurrentBuilds() { names << 'disableConcurrentBuilds' }

    void skipDefaultCheckout() { names << 'skipDefaultCheckout' }

    void parallelsAlwaysFailFast() {
        names << 'parallelsAlwaysFailFast'
        failFast = true
    }

    Map logRotator(Map arguments) {
        allow('logRotator', arguments, ['numToKeepStr', 'artifactNumToKeepStr'])
        arguments
    }

    void buildDiscarder(Map rotation) { names << 'buildDiscarder' }
}

/** The declared parameters, each with its value in this build or its default. */
class Parameters extends Expressions {
    final Context context
    final String kind = 'parameter type'
    final Map values = [:]

    Parameters(Context context) { this.context = context }

    void string(Map declaration) { add(declaration, declaration.defaultValue) }

    void booleanParam(Map declaration) { add(declaration, declaration.defaultValue) }

    void choice(Map declaration) {
        add(declaration, declaration.choices[0])
        if (!declaration.choices.contains(values[declaration.name])) {
            throw new InvalidPipeline("invalid value ${values[declaration.name]} of parameter ${declaration.name}")
        }
    }

    private void add(Map declaration, Object defaultValue) {
        if (!declaration.name || !declaration.description) {
            throw new InvalidPipeline("a parameter needs a name and a description: ${declaration}")
        }
        values[declaration.name] = context.build.request.params.getOrDefault(declaration.name, defaultValue)
    }
}

/** A block whose content is a set of named directives, each at most once. */
class DirectiveBlock {
    private final String name
    private final List<String> known
    final Map<String, Object> directives = [:]

    private DirectiveBlock(String name, List<String> known) {
        this.name = name
        this.known = known
    }

    /** Return the directives of `body`: the closure or value of each by its name. */
    static Map<String, Object> read(String name, List<String> known, Closure body) {
        DirectiveBlock block = new DirectiveBlock(name, known)
        Body.run(body, block)
        block.directives
    }

    Object methodMissing(String directive, Object arguments) {
        if (!known.contains(directive)) {
            throw new InvalidPipeline("unknown directive ${directive} in ${name}")
        }
        if (directives.containsKey(directive)) {
            throw new InvalidPipeline("duplicate directive ${directive} in ${name}")
        }
        directives[directive] = ((Object[]) arguments).toList()
    }

    Object propertyMissing(String value) {
        if (value != 'any') {
            throw new InvalidPipeline("unknown name ${value} in ${name}")
        }
        value
    }
}

/** Reads blocks that repeat one directive: the stages of a pipeline, the axes of a matrix. */
class RepeatedDirective {
    private final String directive
    final List<List> found = []

    RepeatedDirective(String directive) { this.directive = directive }

    static List<List> read(String directive, Closure body) {
        RepeatedDirective reader = new RepeatedDirective(directive)
        Body.run(body, reader)
        if (!reader.found) {
            throw new InvalidPipeline("expected at least one ${directive}")
        }
        reader.found
    }

    Object methodMissing(String name, Object arguments) {
        if (name != directive) {
            throw new InvalidPipeline("unknown directive ${name}; expected ${directive}")
        }
        found << ((Object[]) arguments).toList()
    }
}

/** The `post` block of a pipeline or a stage. */
class Post {
    /** In the order in which Jenkins runs them. */
    static final List<String> CONDITIONS = ['always', 'aborted', 'failure', 'success', 'unstable', 'unsuccessful', 'cleanup']

    static void run(Closure body, Context context, String result) {
        Map<String, Object> bodies = DirectiveBlock.read("post of ${context.stage}", CONDITIONS, body)
        // A timeout of the stage, or around it, also limits its `post`.
        long grace = TimeUnit.SECONDS.toNanos((context.build.request.graceSeconds ?: Options.GRACE_SECONDS) as long)
        long deadline = System.nanoTime() > context.deadline ? context.deadline + grace : context.deadline
        Context post = new Context(context.build, "post of ${context.stage}", context.env, deadline, { false })
        CONDITIONS.findAll { bodies[it] && applies(it, result) }.each { String condition ->
            context.build.event(event: 'post', stage: context.stage, condition: condition)
            Stage.resultOf(post) { -> Body.run(bodies[condition][0], new Steps(post)) }
        }
    }

    private static boolean applies(String condition, String result) {
        condition in ['always', 'cleanup'] || condition == result.toLowerCase() ||
            condition == 'unsuccessful' && result != 'SUCCESS'
    }
}

/** A stage, with what it contains. */
class Stage {
    static final List<String> WORK = ['steps', 'stages', 'parallel', 'matrix']
    static final List<String> DIRECTIVES = ['options', 'when', 'post'] + WORK

    static void runInOrder(List<List> stages, Context context, boolean failFast) {
        stages.each { List stage -> run(stage[0], stage[1], context, failFast) }
    }

    static void run(String name, Closure body, Context outer, boolean failFast, String displayName = name) {
        Build build = outer.build
        Map<String, Object> directives = DirectiveBlock.read("stage ${name}", DIRECTIVES, body)
        List<String> work = WORK.findAll { directives.containsKey(it) }
        if (work.size() != 1) {
            throw new InvalidPipeline("stage ${name} needs exactly one of ${WORK.join(', ')}")
        }
        if (!build.started && name != build.request.startAt) {
            return
        }
        build.started = true
        Context context = outer.with(stage: displayName, env: [STAGE_NAME: name])
        if (directives.when && !WhenConditions.evaluate(directives.when[0], context).every()) {
            build.event(event: 'stage', name: displayName, status: 'skipped')
            build.log(displayName, 'skipped: its when conditions are false')
            return
        }
        Options options = new Options(context)
        if (directives.options) {
            Body.run(directives.options[0], options)
            context = context.with(deadline: options.deadline)
        }
        build.event(event: 'stage', name: displayName, status: 'started', options: options.names)
        Closure content = directives[work[0]][0]
        String result = resultOf(context) { ->
            switch (work[0]) {
                case 'steps': Body.run(content, new Steps(context)); break
                case 'stages': runInOrder(RepeatedDirective.read('stage', content), context, failFast); break
                case 'parallel': runParallel(content, context, failFast); break
                case 'matrix': runMatrix(content, context, failFast); break
            }
        }
        build.event(event: 'stage', name: displayName, status: result)
        if (directives.post) {
            Post.run(directives.post[0], context, result)
        }
        if (result != 'SUCCESS') {
            throw result == 'ABORTED' ? new Interrupted("stage ${displayName}") : new StepFailed("stage ${displayName}")
        }
    }

    /** Run `work` and return its result. The build's result becomes at least as bad. */
    static String resultOf(Context context, Closure work) {
        try {
            work.call()
            'SUCCESS'
        } catch (StepFailed failure) {
            context.build.log(context.stage, "ERROR: ${failure.message}")
            context.build.worsenResult('FAILURE')
            'FAILURE'
        } catch (Interrupted interruption) {
            context.build.log(context.stage, "INTERRUPTED: ${interruption.message}")
            // A branch that stops because another one failed does not abort the build.
            if (interruption.message != Interrupted.FAIL_FAST) {
                context.build.worsenResult('ABORTED')
            }
            'ABORTED'
        }
    }

    static void runParallel(Closure content, Context context, boolean failFast) {
        runBranches(RepeatedDirective.read('stage', content).collect { List stage ->
            { Context branch -> run(stage[0], stage[1], branch, failFast) }
        }, context, failFast)
    }

    static void runMatrix(Closure content, Context context, boolean failFast) {
        Map matrix = DirectiveBlock.read("matrix of ${context.stage}", ['axes', 'stages'], content)
        List<Map> axes = RepeatedDirective.read('axis', matrix.axes[0]).collect { List axis ->
            DirectiveBlock.read("axis of ${context.stage}", ['name', 'values'], axis[0])
        }
        List<Map> cells = axes.inject([[:]]) { List<Map> found, Map axis ->
            found.collectMany { Map cell -> axis.values.collect { cell + [(axis.name[0]): it] } }
        }
        List<List> stages = RepeatedDirective.read('stage', matrix.stages[0])
        runBranches(cells.collect { Map cell ->
            String values = cell.collect { "${it.key}=${it.value}" }.join(', ')
            return { Context branch ->
                stages.each { run(it[0], it[1], branch.with(env: cell), failFast, "${it[0]} (${values})".toString()) }
            }
        }, context, failFast)
    }

    /** Run each branch in a thread. With `failFast` the first failure interrupts the other branches. */
    private static void runBranches(List<Closure> branches, Context context, boolean failFast) {
        List<Throwable> failures = [].asSynchronized()
        Context inside = context.with(branchFailed: { failFast && !failures.empty })
        List<Thread> threads = branches.collect { Closure branch ->
            Thread.start {
                try {
                    branch.call(inside)
                } catch (Throwable failure) {
                    failures << failure
                }
            }
        }
        threads*.join()
        if (failures) {
            throw failures.min { it instanceof Interrupted ? 2 : it instanceof StepFailed ? 1 : 0 }
        }
    }
}

/** The base class of a Jenkinsfile: it provides `pipeline`. */
abstract class DeclarativePipeline extends Script {
    void pipeline(Closure body) {
        Build build = binding.getVariable('build')
        Map<String, Object> directives =
            DirectiveBlock.read('pipeline', ['agent', 'options', 'parameters', 'stages', 'post'], body)
        ['agent', 'stages'].findAll { !directives.containsKey(it) }.each {
            throw new InvalidPipeline("a pipeline needs the directive ${it}")
        }
        if (directives.agent[0] instanceof Closure) {
            DirectiveBlock.read('agent', ['label'], directives.agent[0]) // Every stage runs on this computer.
        }
        Context context = new Context(build, 'pipeline', System.getenv() + build.request.env, Long.MAX_VALUE, { false })
        if (directives.parameters) {
            Parameters parameters = new Parameters(context)
            Body.run(directives.parameters[0], parameters)
            build.params = parameters.values
            context = context.with(env: parameters.values)
        }
        Set unknown = build.request.params.keySet() - build.params.keySet()
        if (unknown) {
            throw new InvalidPipeline("unknown parameter ${unknown.join(', ')}")
        }
        Options options = new Options(context)
        if (directives.options) {
            Body.run(directives.options[0], options)
            context = context.with(deadline: options.deadline)
        }
        Stage.resultOf(context) { ->
            Stage.runInOrder(RepeatedDirective.read('stage', directives.stages[0]), context, options.failFast)
        }
        if (!build.started) {
            throw new InvalidPipeline("stage not found: ${build.request.startAt}")
        }
        if (directives.post) {
            Post.run(directives.post[0], context, build.result)
        }
    }
}

ClassLoader classes = getClass().classLoader
BufferedReader requests = System.in.newReader() // `eachLine` would wait for the line after the next.
String path
while ((path = requests.readLine()) != null) {
    Build build = new Build(new JsonSlurper().parse(new File(path)) as Map)
    try {
        CompilerConfiguration configuration = new CompilerConfiguration(scriptBaseClass: 'DeclarativePipeline')
        new GroovyShell(classes, new Binding(build: build), configuration)
            .evaluate(new File(build.request.jenkinsfile as String))
    } catch (InvalidPipeline | org.codehaus.groovy.control.CompilationFailedException invalid) {
        build.log('pipeline', "INVALID: ${invalid.message}")
        build.result = 'INVALID'
    }
    build.event(event: 'end', result: build.result)
    println build.result
    System.out.flush()
}
